"""Feature flags from a configuration of experiences, through OpenFeature's SDK.

Run it in the root of the repository, in the environment that `make demo` sets up, with the extra::

    .venv/bin/pip install --editable '.[openfeature]'
    .venv/bin/python examples/openfeature_flags.py
"""

from __future__ import annotations

import pathlib
import shutil
import tempfile
import threading

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent

from whichvariant.openfeature import WhichVariantProvider

STOREFRONT = pathlib.Path(__file__).parents[1] / "fixtures" / "storefront" / "space.json"

VISITORS = {
    "a gold customer in Berlin": EvaluationContext(
        "visitor-3",
        {"plan": "gold", "location": {"city": "Berlin", "countryCode": "DE"}},
    ),
    "somebody on a phone in Boston": EvaluationContext(
        "visitor-8",
        {"device": "mobile", "location.city": "Boston", "location.countryCode": "US"},
    ),
    "somebody of whom nothing is known": EvaluationContext("visitor-1"),
}


def show_visitors() -> None:
    """Print what each visitor gets, and why."""
    client = api.get_client()
    for who, context in VISITORS.items():
        print(who)
        label = client.get_string_details("checkout.buttonLabel", "Buy now", context)
        free = client.get_float_details("shipping.freeFrom", 150.0, context)
        menu = client.get_object_details("menu.layout", {"style": "drawer"}, context)
        hero = client.get_integer_details("HomeHero0j48xmtaOEXNhw", 0, context)
        for details in (label, free, menu, hero):
            print(
                f"  {details.flag_key:24} {details.value!s:58.58} "
                f"{details.reason:16} {details.variant or '-'}"
            )


def main() -> None:
    """Ask for flags; then change the configuration under the running provider."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "space.json"
        shutil.copy(STOREFRONT, path)
        api.set_provider_and_wait(WhichVariantProvider(path, reload_s=0.1))
        show_visitors()

        changed = threading.Event()

        def tell(details: EventDetails) -> None:
            print(f"changed: {', '.join(details.flags_changed or [])}")
            changed.set()

        api.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, tell)
        text = path.read_text(encoding="utf-8").replace("Pay securely", "Pay now, safely")
        new = path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)
        assert changed.wait(30), "the change was not noticed"
        label = api.get_client().get_string_value(
            "checkout.buttonLabel", "Buy now", VISITORS["a gold customer in Berlin"]
        )
        print(f"now the button says {label!r}")
        api.shutdown()


if __name__ == "__main__":
    main()
