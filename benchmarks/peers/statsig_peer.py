"""Statsig's Python SDK (Rust core), from a data store: audiences are gates, an OR of ANDs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping

from statsig_python_core import (
    DataStore,
    ExperimentEvaluationOptions,
    Statsig,
    StatsigOptions,
    StatsigUser,
)
from statsig_python_core.data_store import DataStoreResponse

from benchmarks.peers.rules import (
    Decisions,
    Inexact,
    Json,
    Leaf,
    Peer,
    alternatives,
    flattened,
    weights,
)

BUCKETS = 1000
COMMON = {"salt": "", "enabled": True, "idType": "userID", "version": 1}
ORDERINGS = {
    "greaterThan": "gt",
    "greaterThanInclusive": "gte",
    "lessThan": "lt",
    "lessThanInclusive": "lte",
}


class Conditions:
    """The condition map that rules refer to by name, and the gates that negations need."""

    def __init__(self) -> None:
        self.gates: dict[str, dict[str, Json]] = {}
        self.named: dict[str, dict[str, Json]] = {}
        self._names: dict[str, str] = {}

    def name(self, **condition: Json) -> str:
        """The name of a condition; equal ones share it."""
        full = {"field": None, "operator": None, "targetValue": None, "additionalValues": {}}
        full |= {"idType": "userID", "isDeviceBased": False, **condition}
        name = self._names.setdefault(json.dumps(full), str(len(self._names)))
        self.named[name] = full
        return name

    def leaf(self, leaf: Leaf) -> str:
        """The condition of one leaf."""
        shared = {"type": "user_field", "field": leaf.path}
        if leaf.operator == "exists":
            return self.name(**shared, operator="eq" if leaf.negated else "neq", targetValue=None)
        if leaf.negated and leaf.operator in {"startsWith", *ORDERINGS}:
            # These have no opposite that also holds where the field is missing.
            gate = f"leaf-{self.leaf(leaf.opposite)}"
            self.gates[gate] = gate_of(gate, [[self.leaf(leaf.opposite)]])
            return self.name(type="fail_gate", targetValue=gate)
        if leaf.operator in ORDERINGS:
            operator = ORDERINGS[leaf.operator]
            return self.name(**shared, operator=operator, targetValue=leaf.value)
        if leaf.operator == "contains":
            operator = "str_contains_none" if leaf.negated else "str_contains_any"
            return self.name(**shared, operator=operator, targetValue=[leaf.value])
        if leaf.operator == "startsWith":
            return self.name(**shared, operator="str_starts_with_any", targetValue=[leaf.value])
        values = leaf.value if leaf.operator == "in" else [leaf.value]
        texts = [one if isinstance(one, str) else json.dumps(one) for one in values]
        operator = "none_case_sensitive" if leaf.negated else "any_case_sensitive"
        return self.name(**shared, operator=operator, targetValue=texts)


class Specs(DataStore):
    """Answers with one configuration, whatever it is asked for."""

    def __init__(self, specs: str) -> None:
        super().__init__()
        self.specs = specs

    def get(self, key: str) -> DataStoreResponse:
        """The configuration."""
        return DataStoreResponse(result=self.specs, time=1)


def rule_of(name: str, conditions: list[str], value: Json) -> dict[str, Json]:
    """A rule that gives its value to everyone who meets its conditions."""
    return {
        "name": name,
        "id": name,
        "salt": name,
        "passPercentage": 100,
        "conditions": conditions,
        "returnValue": value,
        "idType": "userID",
        "groupName": name,
    }


def gate_of(name: str, alternatives: list[list[str]]) -> dict[str, Json]:
    """A gate that one of some lists of conditions opens."""
    return {
        **COMMON,
        "type": "feature_gate",
        "entity": "feature_gate",
        "salt": name,
        "defaultValue": False,
        "rules": [
            rule_of(f"{name}-{number}", conditions, True)
            for number, conditions in enumerate(alternatives)
        ],
    }


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One experiment for each experience: out without the gate or the traffic, else by bucket."""
    conditions = Conditions()
    gates = conditions.gates
    for audience in document["audiences"]:
        name = audience["nt_audience_id"]
        rules = [
            [conditions.leaf(leaf) for leaf in conjunction]
            for conjunction in alternatives(audience["nt_rules"])
        ]
        gates[name] = gate_of(name, rules)
    experiments = {}
    public = conditions.name(type="public")
    for experience in document["experiences"]:
        name = experience["nt_experience_id"]
        config = experience["nt_config"]
        rules = []
        if "nt_audience" in experience:
            fails = conditions.name(type="fail_gate", targetValue=experience["nt_audience"])
            rules.append(rule_of("targeting", [fails], {}))
        outside = conditions.name(
            type="user_bucket",
            operator="gte",
            targetValue=round(config["traffic"] * BUCKETS),
            additionalValues={"salt": f"{name}-traffic"},
        )
        rules.append(rule_of("traffic", [outside], {}))
        ends = list(itertools.accumulate(weights({**config, "traffic": 1}, BUCKETS)))
        for index, end in enumerate(ends[:-1]):
            below = conditions.name(
                type="user_bucket",
                operator="lt",
                targetValue=end,
                additionalValues={"salt": f"{name}-split"},
            )
            rules.append(rule_of(f"group{index}", [below], {"variant": index}))
        rules.append(rule_of("last", [public], {"variant": len(ends) - 1}))
        experiments[name] = {
            **COMMON,
            "type": "dynamic_config",
            "entity": "experiment",
            "salt": name,
            "isActive": True,
            "defaultValue": {},
            "explicitParameters": ["variant"],
            "rules": rules,
        }
    specs = {
        "has_updates": True,
        "time": 1,
        "feature_gates": gates,
        "dynamic_configs": experiments,
        "layer_configs": {},
        "layers": {},
        "experiment_to_layer": {},
        "condition_map": conditions.named,
    }
    client = Statsig(
        "secret-none",
        StatsigOptions(
            data_store=Specs(json.dumps(specs)),
            disable_network=True,
            disable_all_logging=True,
            disable_country_lookup=True,
            disable_disk_access=True,
        ),
    )
    client.initialize().wait()
    details = client.get_initialize_details()
    if not details.is_config_spec_ready:
        raise RuntimeError("the SDK does not accept the configuration")
    names = list(experiments)
    options = ExperimentEvaluationOptions(disable_exposure_logging=True)

    def prepare(profile: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        return profile["stableId"], flattened(profile)

    def decide(visitor: tuple[str, dict[str, Json]]) -> list[Json]:
        user = StatsigUser(visitor[0], custom=visitor[1])
        return [client.get_experiment(user, name, options) for name in names]

    def read(results: list[Json]) -> Decisions:
        return [
            (name, result.value["variant"])
            for name, result in zip(names, results, strict=True)
            if "variant" in result.value
        ]

    def close() -> None:
        client.shutdown().wait()

    return Peer("get_experiment for each experience, no exposures", prepare, decide, read, close)
