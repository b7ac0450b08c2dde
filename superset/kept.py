"""Lets a browser keep what it asks for each dashboard anew, just before the charts, although only an import changes it.

A browser asks six questions at a time: these take the places of those of the charts.
"""

from flask import Blueprint, Response, request

kept = Blueprint("kept", __name__)
DETAILS = "DatasetRestApi.get_drill_info"
"""What a dataset's columns are called."""
SECONDS = 3600


@kept.after_app_request
def keep_details(response: Response) -> Response:
    """For whoever has this cookie, as Superset says already (`Vary`)."""
    if request.endpoint == DETAILS and response.status_code == 200:
        response.cache_control.private = True
        response.cache_control.max_age = SECONDS
    return response
