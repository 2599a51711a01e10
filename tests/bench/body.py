"""The bodies that scripts/bench sends: check runs in the shape in which GitHub sends them, all of the same size.

Most of a real one are the addresses of its repository, its accounts and its app, told twice; the summary is a sentence or
two, and nothing hangs on a pull request.
"""

import json

OWNER = "northwind-traders-builds"


def wanted(n):
    """The repository that rule n wants."""
    return f"{OWNER}/checkout-and-payment-service-{n}"


# In all, with the end that the load adds: commit and id.
SIZE = 14_400
END = len('"head_sha":"","id":}}') + 40 + 15

ACCOUNT = ("followers following{/other_user} gists{/gist_id} starred{/owner}{/repo} subscriptions orgs repos "
           "events{/privacy} received_events").split()
REPOSITORY = ("forks keys{/key_id} collaborators{/collaborator} teams hooks issues/events{/number} events assignees{/user} "
              "branches{/branch} tags git/blobs{/sha} git/tags{/sha} git/refs{/sha} git/trees{/sha} statuses/{sha} languages "
              "stargazers contributors subscribers subscription commits{/sha} git/commits{/sha} comments{/number} "
              "issues/comments{/number} contents/{+path} compare/{base}...{head} merges {archive_format}{/ref} downloads "
              "issues{/number} pulls{/number} milestones{/number} notifications{?since,all,participating} labels{/name} "
              "releases{/id} deployments").split()
PERMISSIONS = ("actions administration checks contents deployments discussions issues merge_queues metadata packages pages "
               "pull_requests repository_hooks repository_projects security_events statuses vulnerability_alerts").split()
EVENTS = ("branch_protection_rule check_run check_suite create delete deployment deployment_status discussion fork gollum "
          "issues issue_comment label merge_group milestone page_build project public pull_request pull_request_review "
          "push registry_package release repository status watch workflow_dispatch workflow_run").split()


def word(call):
    """What the field of an address is called, or nearly: `git/trees{/sha}` is in `git_trees_url`, GitHub says `trees_url`."""
    return call.split("{")[0].strip("/").replace("/", "_") or "archive"


def account(login, number, kind):
    api = f"https://api.github.com/users/{login}"
    return {"login": login, "id": number, "node_id": f"MDQ6VXNlcj{number}", "gravatar_id": "",
            "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4", "url": api,
            "html_url": f"https://github.com/{login}", **{f"{word(call)}_url": f"{api}/{call}" for call in ACCOUNT},
            "type": kind, "user_view_type": "public", "site_admin": False}


def organization():
    api = f"https://api.github.com/orgs/{OWNER}"
    calls = "repos events hooks issues members{/member} public_members{/member}".split()
    return {"login": OWNER, "id": 2, "node_id": "MDEyOk9yZ2FuaXphdGlvbjI=", "url": api,
            **{f"{word(call)}_url": f"{api}/{call}" for call in calls},
            "avatar_url": "https://avatars.githubusercontent.com/u/2?v=4", "description": ""}


def app():
    return {"id": 15368, "client_id": "Iv1.05c79e9ad1f6bdfa", "slug": "github-actions", "node_id": "MDM6QXBwMTUzNjg=",
            "owner": account("github", 9919, "Organization"), "name": "GitHub Actions",
            "description": "Automate your workflow from idea to production",
            "external_url": "https://help.github.com/en/actions", "html_url": "https://github.com/apps/github-actions",
            "created_at": "2018-07-30T09:30:17Z", "updated_at": "2026-01-07T16:35:00Z",
            "permissions": dict.fromkeys(PERMISSIONS, "write"), "events": EVENTS}


def repository(repo, number):
    owner, name = repo.split("/")
    page, api = f"https://github.com/{repo}", f"https://api.github.com/repos/{repo}"
    return {"id": number, "node_id": f"R_kgDOP{number}", "name": name, "full_name": repo, "private": True,
            "owner": account(owner, 2, "Organization"), "html_url": page, "description": "What the bench builds",
            "fork": False, "url": api, **{f"{word(call)}_url": f"{api}/{call}" for call in REPOSITORY},
            "created_at": "2024-01-15T10:00:00Z", "updated_at": "2026-01-15T10:00:00Z", "pushed_at": "2026-01-15T10:00:00Z",
            "git_url": f"git://github.com/{repo}.git", "ssh_url": f"git@github.com:{repo}.git",
            "clone_url": f"{page}.git", "svn_url": page, "homepage": None, "size": 5120, "stargazers_count": 1,
            "watchers_count": 1, "language": "Python", "has_issues": True, "has_projects": True, "has_downloads": True,
            "has_wiki": True, "has_pages": False, "has_discussions": False, "forks_count": 1, "mirror_url": None,
            "archived": False, "disabled": False, "open_issues_count": 4, "license": None, "allow_forking": True,
            "is_template": False, "topics": [], "visibility": "private", "forks": 1, "open_issues": 4, "watchers": 1,
            "default_branch": "main"}


def body_head(n):
    """The beginning of body n of the load, up to the commit and the id. One in ten is of a repository that a rule wants."""
    repo = wanted(n // 10) if n % 10 == 0 else f"{OWNER}/warehouse-and-delivery-service-{n}"
    page, api = f"https://github.com/{repo}", f"https://api.github.com/repos/{repo}"
    sha = f"{n:040x}"
    suite = {"id": n, "node_id": "CS_kwDOP3GmhM8AAAALCp8k3g", "head_branch": f"fix/login-{n}", "head_sha": sha,
             "status": "queued", "conclusion": None, "url": f"{api}/check-suites/{n}", "before": sha, "after": sha,
             "pull_requests": [], "app": app(), "created_at": "2026-01-15T10:00:00Z",
             "updated_at": "2026-01-15T10:03:12Z"}
    run = {"name": "unit-tests", "node_id": "CR_kwDOP3GmhM8AAAAMOw29Vw", "external_id": "",
           "url": f"{api}/check-runs/{n}", "html_url": f"{page}/actions/runs/{n}/job/{n}",
           "details_url": f"{page}/actions/runs/{n}/job/{n}", "status": "completed", "conclusion": "failure",
           "started_at": "2026-01-15T10:00:00Z", "completed_at": "2026-01-15T10:03:12Z",
           "output": {"title": "2 tests failed", "text": None, "annotations_count": 2,
                      "annotations_url": f"{api}/check-runs/{n}/annotations",
                      "summary": "tests/unit/cart.py: expected \"1\", got \"2\"\ntests/unit/order.py: no such table: orders\n"
                                 "\n2 of 1,204 tests failed in 3 min 12 s."},
           "check_suite": suite, "app": app(), "pull_requests": []}
    body = {"action": "completed", "repository": repository(repo, n + 1), "sender": account("mia", 1, "User"),
            "organization": organization(),
            "installation": {"id": 8, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uOA=="}, "check_run": run}
    missing = SIZE - END - len(told(body))
    if missing < 0:
        raise SystemExit(f"a body of the bench is {-missing} bytes too long")
    filling = "; it sells, bills and ships what the others have made" * (missing // 50 + 1)
    body["repository"]["description"] += filling[:missing]
    return told(body)


def told(body):
    """As JSON without the end."""
    return json.dumps(body, separators=(",", ":"))[:-2] + ","
