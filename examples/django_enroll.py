"""Give each device an enrollment profile of its own over HTTP, with Django; otherwise like flask_enroll.py.

usage: python examples/django_enroll.py DIRECTORY [PORT]

DIRECTORY holds enroll.toml, as ``mdmprofile init --demo demo`` writes it, and token.txt with a secret of your own.
For real use: gunicorn --workers 1 --threads 8 'django_enroll:create_application("/etc/mdm")'
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseForbidden
from django.urls import path
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

import mdmprofile

SERIAL = re.compile("[A-Z0-9]{8,14}")
UDID = re.compile("[0-9A-Fa-f]{8}-[0-9A-Fa-f]{16}|[0-9A-Fa-f]{40}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")


@require_http_methods(["GET", "POST"])
@never_cache
def enroll(request: HttpRequest, serial: str) -> HttpResponse:
    """A profile for the device of this serial number, made and recorded now."""
    if not constant_time_compare(request.headers.get("Enroll-Token", ""), settings.ENROLL_TOKEN):
        return HttpResponseForbidden()
    udid = request.GET.get("udid", "")
    if not SERIAL.fullmatch(serial) or not UDID.fullmatch(udid):
        return HttpResponseBadRequest()
    # What goes wrong here is logged by Django, and the client sees no more than that it did.
    profile = settings.ENROLL_MAKER.make({"serial": serial, "udid": udid}, now=datetime.now(UTC))
    if not profile.data:
        raise RuntimeError("; ".join(each.message for each in profile.findings if each.severity == "error"))
    headers = {"Content-Disposition": f'attachment; filename="{serial}.mobileconfig"'}
    return HttpResponse(profile.data, headers=headers, content_type="application/x-apple-aspen-config")


urlpatterns = [path("enroll/<str:serial>", enroll)]


def create_application(directory: str) -> WSGIHandler:
    """The application; what is needed for every request is prepared here and kept in the settings."""
    folder = Path(directory)
    maker = mdmprofile.ProfileMaker.from_config(folder / "enroll.toml", now=datetime.now(UTC))
    token = (folder / "token.txt").read_text(encoding="utf-8").strip()
    if not token:
        raise ValueError("token.txt is empty")
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        ROOT_URLCONF=__name__,
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stderr": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["stderr"]},
        },
        ENROLL_MAKER=mdmprofile.RecordingMaker(maker, folder),
        ENROLL_TOKEN=token,
    )
    return get_wsgi_application()


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    try:
        create_application(sys.argv[1])
    except (mdmprofile.MdmprofileError, OSError, ValueError) as error:
        sys.exit(f"cannot start: {error}")
    port = sys.argv[2] if len(sys.argv) == 3 else "8000"  # noqa: PLR2004 - argv
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{port}"])
