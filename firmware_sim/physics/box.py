"""The heart of every refrigerated space: one mass of air, one of product, and a compressor between two temperatures.

Two first-order masses describe measured rooms well (air 10 to 15 min, product 8 to 30 h); doors, defrosts, fans and
the compressor are heat flows into the air. Water is balanced beside it, because what enters through a door is felt by
the coil and seen by the humidity probe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from hanlu.firmware_sim.physics import air

__all__ = ["Box", "BoxSpec", "Inflow", "Thermostat", "ThermostatSpec"]

_PRODUCT_MOISTURE_S: Final = 900.0
"""Time in which product and packaging would bring the air to saturation."""
_COIL_MOISTURE_S: Final = 1_500.0
"""Time in which a running coil would bring the air to its own dew point."""
_COIL_BELOW_AIR_K: Final = 6.0
"""Evaporating surface below the air, kelvin (8 to 15 K superheat and coil difference are seen together)."""


@dataclass(frozen=True, slots=True)
class BoxSpec:
    """A refrigerated space.

    Attributes:
        volume_m3: of air.
        envelope_w_per_k: walls, floor and ceiling together; 150 mm of PU is about 0.16 W/(m2 K).
        air_j_per_k: heat capacity of the air with what follows it within minutes (coil, shelves, panel skins).
        product_j_per_k: heat capacity of the goods; 3,800 J/(kg K) fresh fruit, 1,900 frozen meat.
        product_w_per_k: between goods and air.
        cooling_w: what the coil takes from the air at the set temperature.
        idle_w: fans, lamps and breathing goods.
    """

    volume_m3: float
    envelope_w_per_k: float
    air_j_per_k: float
    product_j_per_k: float
    product_w_per_k: float
    cooling_w: float
    idle_w: float

    @property
    def air_tau_s(self) -> float:
        """Time constant of the air, seconds."""
        return self.air_j_per_k / (self.envelope_w_per_k + self.product_w_per_k)

    @property
    def product_tau_s(self) -> float:
        """Time constant of the goods, seconds."""
        return self.product_j_per_k / self.product_w_per_k


@dataclass(frozen=True, slots=True)
class Inflow:
    """What comes from outside during a step.

    Attributes:
        outside_c: temperature around the box.
        outside_ratio: kg of water per kg of dry air around it.
        air_m3_per_s: air exchanged through the door.
        heat_w: heaters and sun.
    """

    outside_c: float
    outside_ratio: float
    air_m3_per_s: float = 0.0
    heat_w: float = 0.0


class Box:
    """The state: air and product temperature and the water in the air."""

    def __init__(self, spec: BoxSpec, air_c: float, product_c: float | None = None) -> None:
        """Begin with `air_c`; the goods at `product_c`, or as cold as the air."""
        self.spec = spec
        self.air_c = air_c
        self.product_c = air_c if product_c is None else product_c
        self.water_ratio = 0.9 * air.saturation_ratio(air_c)

    @property
    def humidity(self) -> float:
        """Relative humidity, percent."""
        return air.relative_humidity(self.water_ratio, self.air_c)

    def step(self, seconds: float, inflow: Inflow, cooling: float, *, loaded: bool = True) -> None:
        """Move on by `seconds`.

        Args:
            seconds: short against the air's time constant.
            inflow: what comes from outside.
            cooling: share of `cooling_w` at work, 0 or 1 (fractions for a weak compressor).
            loaded: False while there are no goods to exchange heat with.
        """
        spec = self.spec
        exchanged_kg_s = inflow.air_m3_per_s * air.density(self.air_c)
        latent = air.HEAT_OF_SUBLIMATION if self.air_c < 0 else air.HEAT_OF_VAPORISATION
        door_w = exchanged_kg_s * (
            air.SPECIFIC_HEAT * (inflow.outside_c - self.air_c)
            # Water carried in condenses on coil and goods within the room: its heat stays here.
            + 0.5 * latent * max(0.0, inflow.outside_ratio - self.water_ratio)
        )
        to_product_w = spec.product_w_per_k * (self.air_c - self.product_c) if loaded else 0.0
        air_w = (
            spec.envelope_w_per_k * (inflow.outside_c - self.air_c)
            + door_w
            + spec.idle_w
            + inflow.heat_w
            - to_product_w
            - spec.cooling_w * cooling
        )
        # A wide door on a small box is stiff at this step: let the exchange relax instead of overshooting.
        stiffness = 1.0 + seconds * exchanged_kg_s * air.SPECIFIC_HEAT / spec.air_j_per_k
        self.air_c += air_w * seconds / spec.air_j_per_k / stiffness
        if loaded:
            self.product_c += to_product_w * seconds / spec.product_j_per_k
        self._move_water(seconds, inflow, cooling, loaded=loaded)

    def _move_water(self, seconds: float, inflow: Inflow, cooling: float, *, loaded: bool) -> None:
        share_exchanged = 1.0 - math.exp(-inflow.air_m3_per_s * seconds / self.spec.volume_m3)
        self.water_ratio += share_exchanged * (inflow.outside_ratio - self.water_ratio)
        if loaded:
            wet = air.saturation_ratio(self.product_c)
            self.water_ratio += (wet - self.water_ratio) * seconds / _PRODUCT_MOISTURE_S
        if cooling > 0:
            dry = air.saturation_ratio(self.air_c - _COIL_BELOW_AIR_K)
            self.water_ratio += min(0.0, dry - self.water_ratio) * seconds / _COIL_MOISTURE_S
        self.water_ratio = min(self.water_ratio, air.saturation_ratio(self.air_c))


@dataclass(frozen=True, slots=True)
class ThermostatSpec:
    """A two-point controller.

    Attributes:
        setpoint_c: middle of the band.
        hysteresis_k: whole width of the band; 2 K is usual.
        rest_s: least time off between runs, which spares the compressor.
        run_s: least time on.
    """

    setpoint_c: float
    hysteresis_k: float = 2.0
    rest_s: float = 180.0
    run_s: float = 120.0


class Thermostat:
    """The compressor's contact."""

    def __init__(self, spec: ThermostatSpec) -> None:
        """Begin at rest and free to start."""
        self._spec = spec
        self._since_s = spec.rest_s
        self.running = False

    def step(self, felt_c: float, seconds: float, *, allowed: bool = True) -> bool:
        """Decide for the next `seconds` from the temperature felt; `allowed` False stops at once. Returns `running`."""
        self._since_s += seconds
        spec = self._spec
        if not allowed:
            wanted, least = False, 0.0
        elif self.running:
            wanted, least = felt_c > spec.setpoint_c - spec.hysteresis_k / 2, spec.run_s
        else:
            wanted, least = felt_c > spec.setpoint_c + spec.hysteresis_k / 2, spec.rest_s
        if wanted != self.running and self._since_s >= least:
            self.running = wanted
            self._since_s = 0.0
        return self.running
