"""The numbers under which namespaces are stored. They never change, so each is read once."""

from __future__ import annotations

import asyncpg

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import StoreDamaged
from whichvariant.store.limits import check_namespace
from whichvariant.store.postgres_pool import Connections
from whichvariant.store.seals import holds, namespace_seal


class Spaces:
    """Namespaces that are known to be in the database. All threads of a store share it."""

    def __init__(self) -> None:
        self._numbers: dict[Namespace, int] = {}
        self._spaces: dict[int, Namespace] = {}

    def known(self, namespace: Namespace) -> int | None:
        """The number of a namespace, as far as it was read already."""
        return self._numbers.get(namespace)

    async def number(self, connections: Connections, namespace: Namespace) -> int | None:
        """The number of a namespace, None if it is not in the database."""
        number = self._numbers.get(namespace)
        if number is None:
            check_namespace(namespace)
            await connections.run(self._read)
            number = self._numbers.get(namespace)
        return number

    async def numbered(self, connections: Connections, namespace: Namespace) -> int:
        """The number of a namespace, which it gets now if it has none."""
        while (number := await self.number(connections, namespace)) is None:
            await connections.run(lambda connection, _: self._add(connection, namespace))
        return number

    async def space(self, connections: Connections, number: int) -> Namespace:
        """The namespace of a number.

        Raises: StoreDamaged: there is none.
        """
        known = self._spaces.get(number)
        if known is None:
            await connections.run(self._read)
            known = self._spaces.get(number)
        if known is None:
            raise StoreDamaged(f"the namespace of number {number} is damaged in the store")
        return known

    async def every(self, connections: Connections) -> list[tuple[Namespace, int]]:
        """All namespaces of the database, in their order, with their numbers."""
        await connections.run(self._read)
        return sorted(self._numbers.items())

    async def _read(self, connection: asyncpg.Connection, doubt: bool) -> None:
        rows = await connection.fetch(
            "SELECT number, organization, environment, seal FROM wv_namespaces"
        )
        for number, organization, environment, seal in rows:
            if not holds(seal, namespace_seal, number, organization, environment):
                raise StoreDamaged(f"the namespace of number {number} is damaged in the store")
            namespace = Namespace(organization.decode(), environment.decode())
            self._spaces[number] = namespace
            self._numbers[namespace] = number

    async def _add(self, connection: asyncpg.Connection, namespace: Namespace) -> None:
        names = (namespace.organization.encode(), namespace.environment.encode())
        number: int = await connection.fetchval(
            "SELECT coalesce(max(number), 0) + 1 FROM wv_namespaces"
        )
        # If somebody else took the number or has added the namespace, the next look will tell.
        await connection.execute(
            "INSERT INTO wv_namespaces VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            number,
            *names,
            namespace_seal(number, *names),
        )
