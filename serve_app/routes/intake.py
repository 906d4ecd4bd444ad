"""Where alerts arrive."""

from fastapi.responses import Response

from serve_app.access import API
from serve_app.call import Current
from serve_app.problems import Problem
from serve_app.route import new_router
from serve_app.schemas.alertmanager import AcceptedView, NotificationIn

router = new_router()


@router.post(f"{API}/alerts/alertmanager", response_model=AcceptedView, status_code=202)
async def receive_alerts(call: Current, body: NotificationIn) -> Response:
    """Takes one notification of Alertmanager (webhook version 4).

    A repeated notification changes nothing: fingerprint, start and status identify what an alert
    says. Overload answers 503, never 429, because Alertmanager drops what is answered by a 4xx.
    """
    most = call.gateway.settings.gateway.max_intake_alerts
    if len(body.alerts) > most:
        raise Problem(413, f"a notification holds at most {most} alerts; set max_alerts")
    outcome = await call.tell("incident", body.to_message(call.origin))
    view = AcceptedView.from_reply(outcome.unwrap())
    return call.reply(view, status=202, position=outcome.position)
