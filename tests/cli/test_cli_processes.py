"""What only a process of its own shows: pipes, signals, terminals."""

from __future__ import annotations

import json
import os
import pty
import signal
import struct
import subprocess
import termios
from fcntl import ioctl

import pytest
from cli_cases import ndjson, profile

BERLIN = profile("v-1", "Berlin")


def test_python_m_is_the_command(shell):
    process = shell("--version")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith(b"whichvariant ")
    assert err == b""


def test_lines_are_answered_as_they_come(shell, space):
    process = shell("select", "--config", space, "--json", "--ndjson")
    try:
        for number in range(3):
            process.stdin.write(ndjson(profile(f"v-{number}")).encode())
            process.stdin.flush()
            # Blocks for ever if the answer waits for more input or for a full buffer.
            assert json.loads(process.stdout.readline())["profile"]["id"] == f"v-{number}"
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.wait()


def test_a_closed_pipe_is_one_line(shell, space, tmp_path):
    visitors = tmp_path / "visitors.ndjson"
    visitors.write_text(ndjson(BERLIN) * 20_000)
    for form in ([], ["--json"]):
        process = shell("select", "--config", space, "--profile", visitors, *form)
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read().decode()
        process.stderr.close()
        process.stdin.close()
        assert process.wait(timeout=60) == 2
        assert err == "whichvariant: the output was closed before all of it was written\n"


def test_a_full_disk_is_one_line(shell, space):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        process = shell("digest", space, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.decode() == "whichvariant: No space left on device\n"


def test_interrupt_is_130(shell, space):
    process = shell("select", "--config", space, "--json", "--ndjson", interruptible=True)
    process.stdin.write(ndjson(BERLIN).encode())
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_an_output_without_unicode_gets_ascii(shell, space):
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = shell("select", "--config", space, environment=environment)
    out, err = process.communicate(json.dumps(profile("zoë", "Berlin")).encode(), timeout=60)
    assert process.returncode == 0, err
    assert out.startswith(b"zo\\xeb  Berlin, DE - visit 3\n")
    assert b"heroDefault -> heroBerlin" in out


def in_terminal(shell, *args, columns, **environment):
    """Run the command on a terminal of its own and return what it printed there."""
    leader, follower = pty.openpty()
    try:
        ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = shell(
            *args,
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=follower,
            environment=environment,
        )
        os.close(follower)
        follower = -1
        printed = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # what Linux says when nobody holds the other end any more
                break
            if not piece:
                break
            printed += piece
        assert process.wait(timeout=60) == 0
        return printed.decode().replace("\r\n", "\n")
    finally:
        os.close(leader)
        if follower >= 0:
            os.close(follower)


@pytest.fixture
def visitor(tmp_path):
    path = tmp_path / "visitor.json"
    path.write_text(json.dumps(BERLIN))
    return path


def test_a_terminal_gets_colour_and_its_width(shell, space, visitor):
    command = ["select", "--config", space, "--profile", visitor]
    wide = in_terminal(shell, *command, columns=100)
    assert "\x1b[1mv-1\x1b[0m" in wide
    assert "\x1b[36mheroBerlin\x1b[0m" in wide
    plain = in_terminal(shell, *command, columns=50, NO_COLOR="1")
    assert "\x1b" not in plain
    assert "  Footer           baseline\n    footerOld stays\n" in plain
    assert max(map(len, plain.splitlines())) <= 50
    assert "\x1b" not in in_terminal(shell, *command, columns=50, TERM="dumb")


def test_json_on_a_terminal_has_no_colour(shell, space, visitor):
    printed = in_terminal(
        shell, "select", "--config", space, "--profile", visitor, "--json", columns=80
    )
    assert json.loads(printed)["profile"]["id"] == "v-1"
