"""Checks that Codegen's own Python SDK works against a sandbox: check.py ADDRESS TOKEN ORG_ID [--record FILE]."""

import argparse
import time

from codegen.agents import Agent
from codegen_api_client.api.organizations_api import OrganizationsApi
from codegen_api_client.api.users_api import UsersApi
from codegen_api_client.exceptions import ApiException, ForbiddenException, NotFoundException
from recorder import Recorder

PATIENCE = 60.0


def checked(what: str, holds: bool) -> None:
    if not holds:
        raise SystemExit(f"FAILED  {what}")
    print(f"ok      {what}")


def refusal(call) -> ApiException | None:
    try:
        call()
    except ApiException as error:
        return error
    return None


def check_run(agent: Agent) -> None:
    task = agent.run("Say hello from the SDK check")
    checked("Agent.run gives an integer id, a status and an address", type(task.id) is int and task.status == "ACTIVE" and task.web_url.startswith("https://"))
    checked("Agent.run has no result yet", task.result is None)
    deadline = time.monotonic() + PATIENCE
    while task.status != "COMPLETE" and time.monotonic() < deadline:
        time.sleep(0.6)
        task.refresh()
    checked("AgentTask.refresh sees the run complete with a result", task.status == "COMPLETE" and bool(task.result))
    expected = {"id": task.id, "status": task.status, "result": task.result, "web_url": task.web_url}
    checked("Agent.get_status tells the same", agent.get_status() == expected)


def check_refusals(agent: Agent, address: str, org: int) -> None:
    stranger = Agent(token="nobody-knows-this-token", org_id=org, base_url=address)
    error = refusal(lambda: stranger.run("hello"))
    checked("an unknown token raises ForbiddenException", isinstance(error, ForbiddenException))
    outsider = Agent(token=agent.token, org_id=org + 1, base_url=address)
    error = refusal(lambda: outsider.run("hello"))
    checked("another organization raises ForbiddenException", isinstance(error, ForbiddenException))
    bearer = f"Bearer {agent.token}"
    error = refusal(lambda: agent.agents_api.get_agent_run_v1_organizations_org_id_agent_run_agent_run_id_get(1, org, authorization=bearer))
    checked("a run that does not exist raises NotFoundException", isinstance(error, NotFoundException))


def check_organization(agent: Agent, org: int) -> None:
    bearer = f"Bearer {agent.token}"
    organizations = OrganizationsApi(agent.api_client).get_organizations_v1_organizations_get(authorization=bearer)
    checked("the organizations are a page with ours", org in [one.id for one in organizations.items])
    api = UsersApi(agent.api_client)
    users = api.get_users_v1_organizations_org_id_users_get(str(org), authorization=bearer)
    checked("the users are a page", users.total == len(users.items) > 0)
    user = api.get_user_v1_organizations_org_id_users_user_id_get(str(org), str(users.items[0].id), authorization=bearer)
    checked("one user is the same as in the page", user == users.items[0])


def check_limit(agent: Agent) -> None:
    error = None
    for _ in range(11):
        error = error or refusal(lambda: agent.run("once more"))
    checked("the eleventh run within a minute raises status 429", error is not None and error.status == 429)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("token")
    parser.add_argument("org", type=int)
    parser.add_argument("--record", metavar="FILE")
    options = parser.parse_args()
    with Recorder(options.address, options.record) as address:
        agent = Agent(token=options.token, org_id=options.org, base_url=address)
        check_run(agent)
        check_organization(agent, options.org)
        check_refusals(agent, address, options.org)
        check_limit(agent)
    print("Codegen's SDK works against the sandbox")


if __name__ == "__main__":
    main()
