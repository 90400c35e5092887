"""Apple's payloads as frozen values, a file a type; each knows the property list it becomes."""
