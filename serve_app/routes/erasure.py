"""Erasure: what is known of a data subject becomes unreadable."""

from fastapi.responses import Response

from serve_app.access import API
from serve_app.call import Current
from serve_app.route import new_router
from serve_app.schemas.erasure import ErasureIn, ErasureView

router = new_router()


@router.post(f"{API}/erasures", response_model=ErasureView)
async def erase_subject(call: Current, body: ErasureIn) -> Response:
    """Destroys the key of a data subject; what was sealed under it is read by nobody again.

    It cannot be undone. Publishing for this subject is refused from now on.
    """
    outcome = await call.tell("bus", body.to_message(call.origin))
    return call.reply(ErasureView.model_validate(outcome.unwrap()), position=outcome.position)
