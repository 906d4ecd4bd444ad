"""How a job finds its guild: the settings say, or the local stack does."""

from actors.settings import GuildSettings
from cluster.api import Api, SignIn, with_client_credentials, with_password
from cluster.problem import StackProblem
from cluster.state import Stack


def open_api(config: GuildSettings) -> Api:
    """The API of ``GUILD_API__URL``, or of the local stack, as its administrator.

    Raises:
        StackProblem: neither is there, or nothing says who we are.
    """
    url, sign_in = _way(config)
    return Api(url, sign_in, patience_s=config.api.patience_s, timeout_s=config.api.timeout_s)


def _way(config: GuildSettings) -> tuple[str, SignIn]:
    api = config.api
    if api.url:
        if api.client_id:
            secret = api.client_secret.get_secret_value()
            return api.url, with_client_credentials(api.client_id, secret)
        if api.login:
            return api.url, with_password(api.login, api.password.get_secret_value())
        raise StackProblem(
            "GUILD_API__URL is set, but who are we? Set GUILD_API__CLIENT_ID and"
            " GUILD_API__CLIENT_SECRET, or GUILD_API__LOGIN and GUILD_API__PASSWORD"
        )
    folder = config.data_dir.resolve()
    stack = Stack.load(folder)
    if stack is None or not stack.running:
        raise StackProblem(
            f"no stack runs in {folder}: start one with `make run`, name its folder in"
            " GUILD_DATA_DIR, or name another guild in GUILD_API__URL"
        )
    if stack.admin is None:
        raise StackProblem(
            "this stack has no login of its own: set GUILD_API__URL and GUILD_API__LOGIN"
        )
    return stack.api_url, with_password(stack.admin.name, stack.admin.secret)
