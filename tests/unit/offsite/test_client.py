"""Clients of one process: made by the same session, with nothing of each other's."""

from __future__ import annotations

import msgspec

from saveos.database.secrets import Secret
from saveos.offsite import client
from saveos.offsite.model import Place

PLACE = Place(endpoint="https://s3.example.org", bucket="copies", access_key_id="ONE", prefix="appliance/one")


def test_clients_of_two_stores_keep_to_their_own_key_region_and_place() -> None:
    other = msgspec.structs.replace(PLACE, endpoint="https://s3.example.net", access_key_id="TWO", region="eu-west-3")
    clients = [client.of(PLACE, Secret("first"), ""), client.of(other, Secret("second"), "")]

    links = [made.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}) for made in clients]

    for made, link, place in zip(clients, links, (PLACE, other), strict=True):
        assert (place.endpoint, place.region) == (made.meta.endpoint_url, made.meta.region_name)
        assert link.startswith(f"{place.endpoint}/b/k?")
        assert f"X-Amz-Credential={place.access_key_id}%2F" in link
        assert f"%2F{place.region}%2Fs3%2F" in link
