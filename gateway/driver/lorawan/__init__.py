"""LoRaWAN: uplinks of network servers, and codecs as data that read the devices' own bytes."""

from __future__ import annotations
