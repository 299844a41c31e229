"""Reading documents: what is one, what is none, and what the refusal says."""

from __future__ import annotations

import copy
import pathlib
from collections import OrderedDict
from enum import StrEnum
from types import MappingProxyType

import msgpack
import orjson
import pytest

from loading.builders import audience_entry, delivery, export, native
from whichvariant.errors import DocumentError
from whichvariant.loading import (
    Document,
    check_document,
    load_documents,
    parse_document,
    read_document,
)
from whichvariant.loading import documents as documents_module


def nested(levels: int) -> dict[str, object]:
    """A native document whose deepest object or list is at that level."""
    value: object = []
    for _ in range(levels - 2):
        value = [value]
    return {"experiences": [], "extra": value}


class TestReadDocument:
    def test_reads_a_file_and_keeps_its_name(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "space.json"
        path.write_bytes(orjson.dumps(native()))
        assert read_document(path) == Document(str(path), native())
        assert read_document(str(path)) == Document(str(path), native())

    def test_a_file_that_is_not_there(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(DocumentError, match="cannot be read: No such file") as caught:
            read_document(tmp_path / "nothing.json")
        assert caught.value.source == str(tmp_path / "nothing.json")

    def test_a_directory(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(DocumentError, match="cannot be read: Is a directory"):
            read_document(tmp_path)

    def test_a_path_that_cannot_be_one(self) -> None:
        with pytest.raises(DocumentError, match=r"cannot be read: .*null"):
            read_document("a\0b")

    def test_a_file_that_is_too_big(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(documents_module, "MAX_DOCUMENT_BYTES", 100)
        path = tmp_path / "big.json"
        path.write_bytes(orjson.dumps(native()))
        with pytest.raises(DocumentError, match="larger than 256 MiB"):
            read_document(path)

    def test_the_limit_is_256_mib(self) -> None:
        assert documents_module.MAX_DOCUMENT_BYTES == 256 * 2**20


class TestParseDocument:
    @pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
    def test_takes_any_bytes(self, convert: type) -> None:
        data = convert(orjson.dumps(native()))
        assert parse_document(data, "d") == Document("d", native())

    def test_tolerates_a_byte_order_mark(self) -> None:
        data = b"\xef\xbb\xbf" + orjson.dumps(native())
        assert parse_document(data, "d").data == native()

    def test_tolerates_white_space(self) -> None:
        assert parse_document(b"\n\t " + orjson.dumps(native()), "d").data == native()

    def test_the_last_of_repeated_keys_wins(self) -> None:
        assert parse_document(b'{"experiences": 1, "experiences": []}', "d").data == {
            "experiences": []
        }

    def test_reads_msgpack(self) -> None:
        assert parse_document(msgpack.packb(native()), "d") == Document("d", native())

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "d: is empty"),
            (b"\xef\xbb\xbf", "is not valid JSON"),
            (b"  ", "is not valid JSON"),
            (b'{"experiences": [', r"is not valid JSON: .*line 1 column 18"),
            (b'{"experiences": [],}', r"is not valid JSON: .*line 1 column \d+"),
            (b'{"experiences": []} x', r"is not valid JSON: .*line 1 column \d+"),
            (b'{\n"experiences": NaN}', r"is not valid JSON: .*line 2 column \d+"),
            (b'{"experiences": [1e999]}', "is not valid JSON: .*infinity"),
            (b'{"experiences": ["\\ud800"]}', "is not valid JSON: .*surrogate"),
            (b'{"experiences": ["\xff"]}', "is not valid JSON: .*UTF-8"),
            (b"hello", "is not valid JSON: .*line 1 column 1"),
            (b"\x00\x01", "is not valid JSON"),
            ('{"a": 1}'.encode("utf-16"), "UTF-16"),
            (b"[]", "expected an object, got a list"),
            (b"5", "expected an object, got a number"),
            (b"null", "expected an object, got null"),
            (b"[" * 2000 + b"]" * 2000, "is not valid JSON: .*depth"),
        ],
    )
    def test_refuses_json_with_its_position(self, data: bytes, message: str) -> None:
        with pytest.raises(DocumentError, match=message) as caught:
            parse_document(data, "d")
        assert caught.value.source == "d"

    @pytest.mark.parametrize(
        ("data", "path", "message"),
        [
            (b"\x81\xa1a", "", "is not valid msgpack: .*incomplete"),
            (b"\x81\xa1a\xc1", "", "is not valid msgpack"),
            (b"\x80\x80", "", "1 bytes follow"),
            (b"\xff", "", "expected an object, got a number"),
            (b"\x81\xa1a\xa3\xed\xa0\x80", "", "is not valid msgpack: .*utf-8"),
            (b"\xdd\xff\xff\xff\xff", "", "max_array_len"),
            (b"\xdf\xff\xff\xff\xff", "", "max_map_len"),
            (b"\x91" * 2000, "", "nested deeper than 256"),
            (msgpack.packb({"experiences": [{"a": b"x"}]}), "experiences[0].a", "binary"),
            (msgpack.packb({"experiences": [{5: 1}]}), "experiences[0]", "key that is not text"),
            (msgpack.packb({"experiences": [{None: 1}]}), "experiences[0]", "key .* null"),
            (msgpack.packb({"experiences": [{b"k": 1}]}), "experiences[0]", "key .* bytes"),
            (b"\x81\xabexperiences\x91\x81\x81\x01\x01\x01", "experiences[0]", "key that is not"),
            (b"\x81\xabexperiences\x91\x81\x91\x01\x01", "experiences[0]", "key that is not text"),
            (
                msgpack.packb({"experiences": [msgpack.ExtType(5, b"x")]}),
                "experiences[0]",
                r"extension \(type 5\)",
            ),
            (
                msgpack.packb({"experiences": [msgpack.Timestamp(1)]}),
                "experiences[0]",
                "Timestamp",
            ),
            (msgpack.packb({"experiences": [float("nan")]}), "experiences[0]", "nan"),
            (msgpack.packb({"experiences": [float("-inf")]}), "experiences[0]", "-inf"),
        ],
    )
    def test_refuses_msgpack_with_the_path(self, data: bytes, path: str, message: str) -> None:
        with pytest.raises(DocumentError, match=message) as caught:
            parse_document(data, "d")
        assert caught.value.source == "d"
        assert caught.value.path == path

    def test_refuses_text(self) -> None:
        with pytest.raises(TypeError):
            parse_document("{}", "d")  # type: ignore[arg-type]


class TestShapes:
    @pytest.mark.parametrize(
        "content",
        [
            {"format": "whichvariant/1"},
            {"experiences": []},
            {"audiences": []},
            export(audience_entry()),
            delivery(audience_entry()),
            audience_entry(),
        ],
    )
    def test_known(self, content: dict[str, object]) -> None:
        assert parse_document(orjson.dumps(content), "d").data == content
        assert check_document(content, "d").data == content

    @pytest.mark.parametrize(
        "content",
        [
            {},
            {"experiences": {}},
            {"entries": {}},
            {"items": 5},
            {"sys": {"type": "Entry"}},
            {"sys": {"type": "Asset"}, "fields": {}},
            {"data": {"experiences": []}},
        ],
    )
    def test_unknown(self, content: dict[str, object]) -> None:
        with pytest.raises(DocumentError, match="is no configuration"):
            parse_document(orjson.dumps(content), "d")
        with pytest.raises(DocumentError, match="is no configuration"):
            check_document(content, "d")

    @pytest.mark.parametrize("value", ["whichvariant/2", 5, None])
    def test_another_format(self, value: object) -> None:
        with pytest.raises(DocumentError, match="expected 'whichvariant/1'") as caught:
            check_document({"format": value, "experiences": []}, "d")
        assert caught.value.path == "format"


class TestNesting:
    def test_256_levels_are_fine(self) -> None:
        content = nested(256)
        assert parse_document(orjson.dumps(nested(200)), "d").data == nested(200)
        assert check_document(content, "d").data == content

    def test_257_levels_are_too_deep_as_json(self) -> None:
        data = b'{"experiences": [], "extra": ' + b"[" * 256 + b"]" * 256 + b"}"
        with pytest.raises(DocumentError, match="deeper than 256") as caught:
            parse_document(data, "d")
        assert caught.value.path == "extra" + "[0]" * 255
        data = b'{"experiences": [], "extra": ' + b"[" * 255 + b"]" * 255 + b"}"
        assert parse_document(data, "d").name == "d"

    def test_257_levels_are_too_deep_as_objects(self) -> None:
        with pytest.raises(DocumentError, match="deeper than 256") as caught:
            check_document(nested(257), "d")
        assert caught.value.path == "extra" + "[0]" * 255

    def test_the_path_leads_to_the_deep_one_of_several(self) -> None:
        deep = b"[0," + b"[" * 300 + b"]" * 300 + b"]"
        data = b'{"experiences": [[], {"a": [1]}, {"b": ' + deep + b"}]}"
        with pytest.raises(DocumentError) as caught:
            parse_document(data, "d")
        assert caught.value.path.startswith("experiences[2].b[1][0][0]")

    def test_a_cycle(self) -> None:
        cycle: dict[str, object] = {"experiences": []}
        cycle["self"] = cycle
        with pytest.raises(DocumentError, match="contains itself"):
            check_document(cycle, "d")

    def test_a_bushy_cycle(self) -> None:
        cycle: list[object] = []
        cycle.extend([cycle] * 50)
        with pytest.raises(DocumentError, match="contains itself"):
            check_document({"experiences": cycle}, "d")

    def test_shared_parts_that_unfold_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(documents_module, "MAX_VALUES", 10_000)
        part: list[object] = []
        for _ in range(60):
            part = [part, part]
        with pytest.raises(DocumentError, match="more than 10,000 values"):
            check_document({"experiences": part}, "d")


class Colour(StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class TestCheckDocument:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({1, 2}, "a Python set"),
            (object(), "a Python object"),
            (b"x", "binary data"),
            (bytearray(b"x"), "binary data"),
            (1 + 2j, "a Python complex"),
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            (10**400, "too large for a double"),
            (-(10**400), "too large for a double"),
            ("a\ud800", "lone surrogate at character 1"),
            (iter([]), "a Python list_iterator"),
        ],
    )
    def test_names_the_path_of_what_json_cannot_hold(self, value: object, message: str) -> None:
        with pytest.raises(DocumentError, match=message) as caught:
            check_document({"experiences": [{"a": [0, value]}]}, "d")
        assert caught.value.path == "experiences[0].a[1]"
        assert caught.value.source == "d"

    @pytest.mark.parametrize("key", [1, None, True, b"k", ("a",), 1.5])
    def test_keys_are_text(self, key: object) -> None:
        with pytest.raises(DocumentError, match="has a key that is not text") as caught:
            check_document({"experiences": [{key: 1}]}, "d")
        assert caught.value.path == "experiences[0]"

    def test_a_key_with_a_lone_surrogate(self) -> None:
        with pytest.raises(DocumentError, match="lone surrogate") as caught:
            check_document({"experiences": [{"\ud800": 1}]}, "d")
        assert caught.value.path == 'experiences[0]["\\ud800"]'

    def test_odd_keys_are_quoted_in_paths(self) -> None:
        with pytest.raises(DocumentError) as caught:
            check_document({"experiences": [{"a.b": {"c d": {1}}}]}, "d")
        assert caught.value.path == 'experiences[0]["a.b"]["c d"]'

    @pytest.mark.parametrize("data", [None, 5, "x", [], (), {1}, object()])
    def test_what_is_no_object_at_all(self, data: object) -> None:
        with pytest.raises(DocumentError):
            check_document(data, "d")

    def test_takes_mappings_and_tuples(self) -> None:
        data = MappingProxyType({"experiences": (OrderedDict(a=1), (1, 2))})
        assert check_document(data, "d").data == {"experiences": [{"a": 1}, [1, 2]]}

    def test_gives_plain_values_only(self) -> None:
        content = {"experiences": [Colour.RED, Text("held"), True, 5, 1.5]}
        copied = check_document(content, "d").data["experiences"]
        assert copied == ["red", "held", True, 5, 1.5]
        assert [type(value) for value in copied] == [str, str, bool, int, float]

    @pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 2**70, 123456789012345680000], ids=str)
    def test_integers_beyond_64_bits_become_doubles_as_in_json(self, number: int) -> None:
        (copied,) = check_document({"experiences": [number]}, "d").data["experiences"]
        text = f'{{"experiences": [{number}]}}'.encode()
        (parsed,) = parse_document(text, "d").data["experiences"]
        assert type(copied) is type(parsed) is float
        assert copied == parsed == float(number)

    @pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**53 + 1], ids=str)
    def test_integers_of_64_bits_stay(self, number: int) -> None:
        (copied,) = check_document({"experiences": [number]}, "d").data["experiences"]
        assert type(copied) is int
        assert copied == number

    def test_copies_and_leaves_the_original_alone(self) -> None:
        content = native()
        before = copy.deepcopy(content)
        document = check_document(content, "d")
        assert content == before
        document.data["audiences"][0]["nt_rules"]["any"].clear()
        document.data["experiences"].append(5)
        assert content == before


class TestDocumentsMadeByHand:
    """`Document` is public, so its data may be anything; loading looks before it reads."""

    def test_are_checked(self) -> None:
        with pytest.raises(DocumentError, match="a Python set") as caught:
            load_documents([Document("mine", {"experiences": [{1}]})])
        assert caught.value.source == "mine"

    def test_load(self) -> None:
        made = load_documents([Document("mine", native())])
        read = load_documents([check_document(native(), "mine")])
        assert made == read

    def test_no_documents(self) -> None:
        with pytest.raises(DocumentError, match="no documents"):
            load_documents([])
