"""CBV 2.0 business steps and dispositions as a shopper or inspector reads them, Chinese and English.

Source: GS1 Core Business Vocabulary 2.0, 7.1 (business steps) and 7.2 (dispositions).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["DISPOSITIONS", "FACTS", "HARVESTED", "STEPS", "UNITS", "amount_text", "fact_text", "step_text", "stop_text"]

STEPS: Final[dict[str, tuple[str, str]]] = {
    "accepting": ("接受", "Accepted"),
    "arriving": ("到达", "Arrived"),
    "assembling": ("组装", "Assembled"),
    "collecting": ("收集", "Collected"),
    "commissioning": ("赋码建批", "Lot created"),
    "consigning": ("托运", "Consigned"),
    "creating_class_instance": ("生产建批", "Produced"),
    "cycle_counting": ("盘点", "Counted"),
    "decommissioning": ("注销", "Withdrawn"),
    "departing": ("出发", "Departed"),
    "destroying": ("销毁", "Destroyed"),
    "disassembling": ("拆解", "Taken apart"),
    "dispensing": ("分发", "Dispensed"),
    "encoding": ("写码", "Encoded"),
    "entering_exiting": ("进出", "Passed"),
    "holding": ("暂扣", "Held"),
    "inspecting": ("检验", "Inspected"),
    "installing": ("安装", "Installed"),
    "killing": ("标签失效", "Tag killed"),
    "loading": ("装车", "Loaded"),
    "other": ("其他作业", "Other work"),
    "packing": ("分选包装", "Sorted and packed"),
    "picking": ("拣货", "Picked"),
    "receiving": ("收货", "Received"),
    "removing": ("移除", "Removed"),
    "repackaging": ("重新包装", "Repacked"),
    "repairing": ("修理", "Repaired"),
    "replacing": ("更换", "Replaced"),
    "reserving": ("预留", "Reserved"),
    "retail_selling": ("零售售出", "Sold to a shopper"),
    "sampling": ("抽样", "Sampled"),
    "sensor_reporting": ("传感器上报", "Measured"),
    "shipping": ("发运", "Shipped"),
    "staging_outbound": ("出库备货", "Staged"),
    "stock_taking": ("清点库存", "Stock taken"),
    "stocking": ("上架", "Put on sale"),
    "storing": ("入库存放", "Stored"),
    "transporting": ("运输", "Transported"),
    "unloading": ("卸车", "Unloaded"),
    "unpacking": ("拆包", "Unpacked"),
    "void_shipping": ("发运取消", "Shipment voided"),
}

DISPOSITIONS: Final[dict[str, tuple[str, str]]] = {
    "active": ("在用", "active"),
    "conformant": ("合格", "conformant"),
    "container_closed": ("已封箱", "container closed"),
    "damaged": ("损坏", "damaged"),
    "destroyed": ("已销毁", "destroyed"),
    "disposed": ("已处置", "disposed"),
    "expired": ("已过期", "expired"),
    "in_progress": ("进行中", "in progress"),
    "in_transit": ("在途", "in transit"),
    "non_conformant": ("不合格", "non-conformant"),
    "non_sellable_other": ("不可售", "not sellable"),
    "recalled": ("已召回", "recalled"),
    "retail_sold": ("已售出", "sold"),
    "returned": ("已退回", "returned"),
    "sellable_accessible": ("在售", "on sale"),
    "sellable_not_accessible": ("可售未上架", "sellable, not on the shelf"),
    "unavailable": ("不可用", "unavailable"),
    "unknown": ("不明", "unknown"),
}

FACTS: Final[dict[str, tuple[str, str]]] = {
    "lotNumber": ("批号", "Lot number"),
    "harvestStartDate": ("采收开始", "Harvest began"),
    "harvestEndDate": ("采收结束", "Harvest ended"),
    "countryOfOrigin": ("产地国", "Origin"),
    "bestBeforeDate": ("最佳食用期至", "Best before"),
    "variety": ("品种", "Variety"),
    "cooperative": ("合作社", "Cooperative"),
    "plot": ("地块", "Plot"),
    "grade": ("等级", "Grade"),
    "netWeightKilograms": ("净含量(千克)", "Net weight (kg)"),
    "registration": ("登记证号", "Registration"),
    "kind": ("类别", "Kind"),
    "preHarvestIntervalDays": ("安全间隔期(天)", "Pre-harvest interval (days)"),
    "work": ("作业", "Work"),
    "dose": ("用量", "Dose"),
}
"""Names of the facts events say of a lot (ILMD), without their prefix: CBV 2.0 7.3.5 and Hanlu's own."""

HARVESTED: Final = ("采收", "Harvested")
"""What creating a lot is called where its facts name a harvest."""

UNITS: Final[dict[str, tuple[str, str]]] = {
    "": ("件", "pcs"),
    "KGM": ("千克", "kg"),
    "GRM": ("克", "g"),
    "TNE": ("吨", "t"),
    "LTR": ("升", "L"),
    "MLT": ("毫升", "mL"),
}
"""Names of units by their code; "" is a count. Source: UN/ECE Recommendation 20."""


def step_text(step: str, lang: str) -> str:
    """Return the step in the reader's language; a word outside the vocabulary is shown as it came."""
    words = STEPS.get(step)
    return (words[0] if lang == "zh" else words[1]) if words else step


def fact_text(name: str, lang: str) -> str:
    """Return the name of a fact such as `cbvmda:lotNumber` in the reader's language; an unknown one without prefix."""
    bare = name.rsplit(":", 1)[-1]
    words = FACTS.get(bare)
    return (words[0] if lang == "zh" else words[1]) if words else bare


def stop_text(step: str, facts: Iterable[tuple[str, str]], lang: str) -> str:
    """Return the step of an event as a shopper reads it: creating a lot with dates of harvest is the harvest."""
    if step == "commissioning" and any(name.endswith((":harvestStartDate", ":harvestEndDate")) for name, _ in facts):
        return HARVESTED[lang != "zh"]
    return step_text(step, lang)


def amount_text(number: str, unit: str, lang: str) -> str:
    """Return an amount with its unit, such as `72.4 kg`; a unit without a name is shown by its code."""
    words = UNITS.get(unit, (unit, unit))
    return f"{number} {words[lang != 'zh']}"
