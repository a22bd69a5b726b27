"""The words of the CBV: which bare words are known in which field, and the web address each stands for.

Source: CBV 2.0, sections 7.1 (business steps), 7.2 (dispositions), 7.3 (business transactions), 7.4 (sources and
destinations), 7.5 (error reasons), 7.6 (sensor components, exceptions, measurement types).
"""

from __future__ import annotations

from typing import Final

__all__ = ["CBV", "GS1_VOC", "WORDS_OF", "WORD_STEMS", "expand_word"]

CBV: Final = "https://ref.gs1.org/cbv/"
GS1_VOC: Final = "https://gs1.org/voc/"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DISPOSITIONS = _words(
    "active available completeness_inferred completeness_verified conformant container_closed container_open damaged "
    "destroyed dispensed disposed encoded expired in_progress in_transit inactive mismatch_class mismatch_instance "
    "mismatch_quantity needs_replacement no_pedigree_match non_conformant non_sellable_other partially_dispensed "
    "recalled reserved retail_sold returned sellable_accessible sellable_not_accessible stolen unavailable "
    "unknown"
)

WORDS_OF: Final[dict[str, frozenset[str]]] = {
    "bizStep": _words(
        "accepting arriving assembling collecting commissioning consigning creating_class_instance cycle_counting "
        "decommissioning departing destroying disassembling dispensing encoding entering_exiting holding inspecting "
        "installing killing loading other packing picking receiving removing repackaging repairing replacing reserving "
        "retail_selling sampling sensor_reporting shipping staging_outbound stock_taking stocking storing transporting "
        "unloading unpacking void_shipping"
    ),
    "disposition": _DISPOSITIONS,
    "set": _DISPOSITIONS,
    "unset": _DISPOSITIONS,
    "bizTransaction.type": _words("bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt"),
    "source.type": frozenset({"owning_party", "possessing_party", "location"}),
    "destination.type": frozenset({"owning_party", "possessing_party", "location"}),
    "reason": frozenset({"did_not_occur", "incorrect_data"}),
    "exception": frozenset({"ALARM_CONDITION", "ERROR_CONDITION"}),
    "component": _words(
        "x y z axial_distance azimuth height spherical_radius polar_angle elevation_angle easting northing latitude "
        "longitude altitude"
    ),
    "sensorReport.type": _words(
        "AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Altitude AmountOfSubstance "
        "AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area Capacitance "
        "Conductance Conductivity Count Density Dimensionless DoseEquivalent DoseEquivalentRate DynamicViscosity "
        "ElectricCharge ElectricCurrent ElectricCurrentDensity ElectricFieldStrength Energy Exposure Force Frequency "
        "Illuminance Inductance Irradiance KinematicViscosity Length LinearMomentum Luminance LuminousFlux "
        "LuminousIntensity MagneticFlux MagneticFluxDensity MagneticVectorPotential Mass MassConcentration "
        "MassFlowRate MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy MolarMass MolarVolume Power Pressure "
        "RadiantFlux RadiantIntensity Radioactivity RelativeHumidity Resistance Resistivity SolidAngle SpecificVolume "
        "Speed SurfaceDensity SurfaceTension Temperature Time Torque Voltage Volume VolumeFlowRate VolumeFraction "
        "VolumetricFlux Wavenumber"
    ),
}
"""Bare words allowed in each field; a field called ``type`` is named with its parent."""

WORD_STEMS: Final[dict[str, str]] = {
    "bizStep": CBV + "BizStep-",
    "disposition": CBV + "Disp-",
    "set": CBV + "Disp-",
    "unset": CBV + "Disp-",
    "bizTransaction.type": CBV + "BTT-",
    "source.type": CBV + "SDT-",
    "destination.type": CBV + "SDT-",
    "reason": CBV + "ER-",
    "exception": GS1_VOC,
    "component": CBV + "Comp-",
    "sensorReport.type": GS1_VOC,
}
"""What stands before a bare word in its web address."""


def expand_word(field: str, text: str) -> str:
    """Return the web address of a bare word of `field`; anything with a colon in it is returned as it is."""
    stem = WORD_STEMS.get(field)
    return stem + text if stem and text and ":" not in text else text
