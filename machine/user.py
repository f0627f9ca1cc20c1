"""The user that runs everything."""

from __future__ import annotations

import os
import pwd

from machine.command_line import UserError


def check_user(user_id: int | None = None) -> None:
    """Raise UserError where a user, by default this one, has no name: Hadoop needs it, so Spark would not start.

    That happens in containers that run as any number, such as `docker run --user 1234`.
    """
    user_id = os.getuid() if user_id is None else user_id
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        line = f"lakehouse:x:{user_id}:{os.getgid()}::/tmp:/bin/sh"
        raise UserError(
            f"this user has the id {user_id} and no name, without which Spark does not start. Run as a user with a"
            f" name, or let an administrator give it one: echo '{line}' >> /etc/passwd"
        ) from None
