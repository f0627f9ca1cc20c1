"""What the processes of one machine have in their environment, whatever the shell of their user has in its own.

Every server of one machine listens on 127.0.0.1, which no proxy can reach. Package indexes still go through it.
File names and texts are UTF-8, under every locale.
"""

from __future__ import annotations

from collections.abc import Mapping

UTF8 = {"LC_ALL": "C.UTF-8"}
"""For Java, which takes the encoding of file names from the locale, and for Python."""
THIS_MACHINE = ("127.0.0.1", "localhost")


def local_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with UTF-8, and with this machine among the hosts that need no proxy.

    Some libraries read `no_proxy` and some `NO_PROXY`; of `*`, which means all hosts, nothing may stand beside it.
    """
    found = {**environment, **UTF8}
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        text = environment.get(name) or environment.get(other) or ""
        hosts = [host.strip() for host in text.split(",") if host.strip()]
        found[name] = "*" if "*" in hosts else ",".join([*hosts, *(h for h in THIS_MACHINE if h not in hosts)])
    return found


def is_proxy(name: str) -> bool:
    """Return whether a variable names a proxy, such as ALL_PROXY, or the hosts without one.

    Services of one machine get none: some libraries refuse to start for a kind of proxy that they do not know, whatever
    `no_proxy` says.
    """
    return name.lower().endswith("_proxy")
