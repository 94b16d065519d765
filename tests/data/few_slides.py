"""Camelyon17 on the scale of the drawn slides."""

from benchmark.data.dataset import Client
from benchmark.data.datasets.camelyon17 import Camelyon17


class FewSlides(Camelyon17):
    """Camelyon17 with as many patches as the drawn slides."""

    clients = tuple(
        Client(client.id, client.name, count)
        for client, count in zip(Camelyon17.clients, (40, 40, 40, 40, 44), strict=True)
    )
