"""``whichvariant compile``, ``convert`` and ``digest``: what is written, and how."""

from __future__ import annotations

import errno
import json
import os
import stat

import msgpack
import pytest
from cli_cases import SPACE

from whichvariant import Engine
from whichvariant.atomic_write import atomic_file, write_atomically


def test_compile_writes_a_program_that_loads(run, space, tmp_path):
    output = tmp_path / "space.program"
    result = run("compile", space, "-o", output)
    assert result.exit_code == 0, result.stderr
    engine = Engine.load(output)
    assert engine.digest == Engine.load(space).digest
    size = output.stat().st_size
    lines = result.stdout.splitlines()
    assert lines[0] == str(output)
    assert lines[1:4] == [
        f"  digest    {engine.digest}",
        "  scheme    murmur3",
        "  holds     4 experiences, 3 audiences, 1 merge tag",
    ]
    assert lines[4] == f"  size      {size:,} bytes, from {space.stat().st_size:,} in 1 file"
    assert "ms to load and compile" in lines[5]


def test_compile_reports_json(run, space, tmp_path):
    output = tmp_path / "space.program"
    data = json.loads(run("compile", space, "-o", output, "--json").stdout)
    assert data["output"] == str(output)
    assert data["digest"] == Engine.load(space).digest
    assert data["program_bytes"] == output.stat().st_size
    assert (data["experiences"], data["audiences"], data["merge_tags"]) == (4, 3, 1)


def test_compile_merges_files(run, tmp_path):
    halves = []
    for key in ("audiences", "experiences", "mergetags"):
        halves.append(tmp_path / f"{key}.json")
        halves[-1].write_text(json.dumps({"format": "whichvariant/1", key: SPACE[key]}))
    output = tmp_path / "whole.program"
    assert run("compile", *halves, "-o", output).exit_code == 0
    assert Engine.load(output).digest == Engine.from_dict(SPACE).digest


def test_a_refused_configuration_writes_nothing(run, broken_space, tmp_path):
    output = tmp_path / "space.program"
    output.write_bytes(b"old")
    result = run("compile", broken_space, "-o", output)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert output.read_bytes() == b"old"
    lenient = run("compile", broken_space, "-o", output, "--lenient")
    assert lenient.exit_code == 0
    assert "left out" in lenient.stderr
    assert len(Engine.load(output).configuration.experiences) == 3


@pytest.mark.parametrize("command", ["compile", "convert"])
def test_no_input_is_overwritten(run, space, tmp_path, command):
    link = tmp_path / "link.json"
    link.symlink_to(space)
    before = space.read_bytes()
    for output in (space, link):
        result = run(command, space, "-o", output)
        assert result.exit_code == 2
        assert "is one of the files that are read" in result.stderr
    assert space.read_bytes() == before


@pytest.mark.parametrize("command", ["compile", "convert"])
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file(run, space, tmp_path, monkeypatch, *, command, step):
    output = tmp_path / "out" / "space.json"
    output.parent.mkdir()
    output.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", "/some/temporary/name")

    monkeypatch.setattr(os, step, fail)
    result = run(command, space, "-o", output)
    monkeypatch.undo()
    assert result.exit_code == 2
    assert result.stderr == f"whichvariant: {output}: No space left on device\n"
    assert output.read_bytes() == b"old"
    assert os.listdir(output.parent) == ["space.json"]


def test_an_output_in_no_folder_is_one_line(run, space, tmp_path):
    output = tmp_path / "none" / "space.program"
    result = run("compile", space, "-o", output)
    assert result.exit_code == 2
    assert result.stderr == f"whichvariant: {output}: No such file or directory\n"


def test_writing_keeps_permissions_and_follows_links(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_permissions(tmp_path):
    usual = tmp_path / "usual"
    usual.write_bytes(b"")
    write_atomically(tmp_path / "ours", b"x")
    assert (tmp_path / "ours").stat().st_mode == usual.stat().st_mode


def test_a_device_is_written_to_and_stays_a_device(run, space):
    assert run("compile", space, "-o", os.devnull).exit_code == 0
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.parametrize("suffix", [".json", ".msgpack", ".mpk", ".JSON"])
def test_convert_says_the_same(run, space, tmp_path, suffix):
    output = tmp_path / f"native{suffix}"
    result = run("convert", space, "-o", output)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[1] == f"  digest    {Engine.load(space).digest}"
    assert Engine.load(output).digest == Engine.load(space).digest
    content = output.read_bytes()
    document = json.loads(content) if "json" in suffix.lower() else msgpack.unpackb(content)
    assert document["format"] == "whichvariant/1"


def test_convert_reads_programs_and_reports_json(run, space, tmp_path):
    program, output = tmp_path / "space.program", tmp_path / "native.json"
    run("compile", space, "-o", program)
    data = json.loads(run("convert", program, "-o", output, "--json").stdout)
    assert data["digest"] == Engine.load(space).digest
    assert data["bytes"] == output.stat().st_size


def test_convert_needs_a_known_name(run, space, tmp_path):
    result = run("convert", space, "-o", tmp_path / "native.yaml")
    assert result.exit_code == 2
    assert "must end in .json, .msgpack or .mpk" in result.stderr


def test_convert_checks_before_it_writes(run, space, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "whichvariant.cli.convert.to_native",
        lambda configuration: {**SPACE, "mergetags": []},
    )
    output = tmp_path / "native.json"
    result = run("convert", space, "-o", output)
    assert result.exit_code == 2
    assert "not written" in result.stderr
    assert not output.exists()


def test_digest_prints_the_digest(run, space, tmp_path):
    digest = Engine.load(space).digest
    assert run("digest", space).stdout == digest + "\n"
    assert json.loads(run("digest", space, "--json").stdout) == {
        "digest": digest,
        "scheme": "murmur3",
    }


def test_digest_refuses_errors_unless_lenient(run, broken_space):
    assert run("digest", broken_space).exit_code == 2
    lenient = run("digest", broken_space, "--lenient")
    assert lenient.exit_code == 0
    assert len(lenient.stdout) == 33


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": 1}', b"\xc1"])
def test_what_is_no_configuration_is_one_line(run, tmp_path, content):
    path = tmp_path / "space.json"
    path.write_bytes(content)
    for arguments in (["digest", path], ["lint", path], ["compile", path, "-o", tmp_path / "p"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert str(path) in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_damaged_program_is_one_line(run, space, tmp_path):
    program = tmp_path / "space.program"
    run("compile", space, "-o", program)
    content = bytearray(program.read_bytes())
    content[len(content) // 2] ^= 0xFF
    program.write_bytes(content)
    result = run("digest", program)
    assert result.exit_code == 2
    assert str(program) in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_stream_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o640)

    def fail() -> None:
        with atomic_file(path) as stream:
            stream.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    with atomic_file(path, private=True) as stream:
        stream.write(b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["out"]


def test_a_stream_goes_into_a_pipe_and_not_in_its_place(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with atomic_file(pipe) as stream:
            stream.write(b"new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
