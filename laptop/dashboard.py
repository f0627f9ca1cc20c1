"""`make dashboard`: open the dashboard of the local workspace in a browser, and print its address."""

from __future__ import annotations

import sys
import webbrowser

from laptop.laptop_state import LaptopState
from laptop.services import require_up, wait_until_ready
from machine.command_line import run_command


def main() -> int:
    state = LaptopState.from_environment()
    require_up(state)
    wait_until_ready(state)
    print(f"{state.dashboard_url}   token: the file {state.secrets / 'workspace_token'}")
    webbrowser.open(state.dashboard_url)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
