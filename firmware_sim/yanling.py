"""The demo county: 炎陵县 (Yanling, Hunan) and its yellow peaches, from three plots to a locker in Changsha.

Organisations, places and numbers are made up for demonstration: the GS1 prefix 6999999 lies in China's range and is
used here as an example only, positions are approximate, no name is a person's. Limits are editable defaults with their
source beside them.
"""

from __future__ import annotations

from typing import Final

from hanlu.firmware_sim.county import (
    Channel,
    County,
    Device,
    Gateway,
    Level,
    LimitProfile,
    Organisation,
    Participant,
    Product,
    Site,
    Zone,
    check_digit,
)

__all__ = ["DEMO_PREFIX", "FERTILISER_GTIN", "HARVEST_GTIN", "PACKED_GTIN", "PESTICIDE_GTIN", "demo_county"]

DEMO_PREFIX: Final = "6999999"
"""GS1 company prefix of everything here: an example, not issued to anybody we know of."""


def _gln(number: int) -> str:
    digits = f"{DEMO_PREFIX}{number:05d}"
    return digits + check_digit(digits)


def _gtin(number: int) -> str:
    return "0" + _gln(number)  # same digits, same check digit rule; one leading zero makes fourteen


PACKED_GTIN: Final = _gtin(20_001)
HARVEST_GTIN: Final = _gtin(20_002)
FERTILISER_GTIN: Final = _gtin(20_101)
PESTICIDE_GTIN: Final = _gtin(20_102)

_LEVELS = (
    Level(1, "省", "Province"),
    Level(2, "市", "City"),
    Level(3, "县", "County"),
    Level(4, "乡", "Township"),
    Level(5, "村", "Village"),
)

_ORGANISATIONS = (
    Organisation("hunan", None, 1, "湖南省", "Hunan"),
    Organisation("zhuzhou", "hunan", 2, "株洲市", "Zhuzhou"),
    Organisation("yanling", "zhuzhou", 3, "炎陵县", "Yanling County"),
    Organisation("xiayang", "yanling", 4, "霞阳镇", "Xiayang Town"),
    Organisation("zhongcun", "yanling", 4, "中村瑶族乡", "Zhongcun Yao Township"),
    Organisation("pingle", "zhongcun", 5, "平乐村", "Pingle Village"),
    Organisation("changsha", "hunan", 2, "长沙市", "Changsha"),
    Organisation("yuhua", "changsha", 3, "雨花区", "Yuhua District"),
)

_PARTICIPANTS = (
    Participant(
        "growers", "pingle", _gln(1), "平乐黄桃专业合作社(演示)", "Pingle Peach Growers' Cooperative (demo)", "producer"
    ),
    Participant("inputs", "zhongcun", _gln(2), "中村农资服务站(演示)", "Zhongcun Farm Inputs (demo)", "input_dealer"),
    Participant("store", "xiayang", _gln(3), "炎陵供销冷链中心(演示)", "Yanling Cold Chain Centre (demo)", "store"),
    Participant("carrier", "xiayang", _gln(4), "炎陵供销冷链车队(演示)", "Yanling Cold Chain Fleet (demo)", "carrier"),
    Participant("shop", "yuhua", _gln(5), "长沙供销生鲜店(演示)", "Changsha Co-op Fresh Shop (demo)", "shop"),
    Participant(
        "laboratory", "yanling", _gln(6), "炎陵农产品检测站(演示)", "Yanling Produce Laboratory (demo)", "laboratory"
    ),
    Participant(
        "flyers", "zhongcun", _gln(7), "中村统防统治服务队(演示)", "Zhongcun Crop Protection (demo)", "cooperative"
    ),
)

_AIR = ("air_temperature", "Cel")
_PEACH = "HB 66: -1 to 0; Chinese practice 0 to 3 degrees, 90 to 95 % RH"
_MEASURED = "measured in 229 room-days: 60 min on-delay spares defrosts and misses no long excursion"
_LIMITS = (
    LimitProfile("peach", *_AIR, -1.0, 3.0, 0.5, 60, 120, 120, 2, _PEACH),
    LimitProfile("peach", "product_temperature", "Cel", -1.0, 4.0, 0.3, 1_800, 300, 300, 1, _PEACH),
    LimitProfile("shiitake", *_AIR, 0.0, 4.0, 0.5, 300, 120, 120, 2, "Ministry of Agriculture guide 2024: 0 to 4"),
    LimitProfile("frozen", *_AIR, None, -15.0, 1.0, 3_600, 300, 300, 1, f"GB/T 24616: -18 or below; {_MEASURED}"),
    LimitProfile("pre-cooling", *_AIR, -1.0, 15.0, 1.0, 3_600, 300, 300, 3, "peaches: to 4 degrees or below, fast"),
    LimitProfile("packing", *_AIR, 8.0, 18.0, 0.5, 900, 300, 300, 3, "cool hall without condensation on the fruit"),
    LimitProfile(
        "reefer", *_AIR, -1.0, 5.0, 0.5, 1_800, 300, 300, 2, "Chinese practice 0 to 3; stops of 15 min allowed"
    ),
    LimitProfile("locker", *_AIR, -1.0, 8.0, 0.5, 900, 300, 300, 2, "retail cabinet, doors in use"),
    LimitProfile("ambient", *_AIR, None, None, 0.5, 600, 60, 900, 3, "no limits: outdoors and dry goods"),
)

_PRODUCTS = (
    Product(PACKED_GTIN, "炎陵黄桃 2.5 kg 箱装", "Yanling yellow peaches, 2.5 kg box", "peach"),
    Product(HARVEST_GTIN, "炎陵黄桃 散装(采收批)", "Yanling yellow peaches, loose (harvest lot)", "peach"),
    Product(_gtin(20_003), "香菇 鲜品 1 kg", "Shiitake, fresh, 1 kg", "shiitake"),
    Product(_gtin(20_004), "冷冻分割猪肉 10 kg", "Frozen pork cuts, 10 kg", "frozen"),
    Product(FERTILISER_GTIN, "生物有机肥 40 kg", "Organic fertiliser, 40 kg", "ambient"),
    Product(PESTICIDE_GTIN, "0.5% 苦参碱水剂 500 ml", "Matrine 0.5 % AS, 500 ml", "ambient"),
)

_SITES = (
    Site(
        "zhongcun-base",
        "pingle",
        "growers",
        "field",
        "炎陵县中村瑶族乡黄桃基地",
        "Zhongcun peach orchard",
        _gln(101),
        26.318,
        113.742,
    ),
    Site(
        "zhongcun-precool",
        "zhongcun",
        "growers",
        "pre_cooler",
        "中村产地预冷站",
        "Zhongcun pre-cooling station",
        _gln(102),
        26.324,
        113.748,
    ),
    Site(
        "yanling-store",
        "xiayang",
        "store",
        "cold_store",
        "炎陵县供销冷库",
        "Yanling co-op cold store",
        _gln(103),
        26.489,
        113.772,
    ),
    Site("truck-b01", "xiayang", "carrier", "truck", "冷藏车 01 号", "Reefer truck 01", _gln(104), None, None),
    Site(
        "changsha-shop",
        "yuhua",
        "shop",
        "locker",
        "长沙雨花智能菜柜",
        "Changsha Yuhua smart locker",
        _gln(105),
        28.137,
        113.036,
    ),
    Site(
        "zhongcun-fields",
        "zhongcun",
        "flyers",
        "drone",
        "中村水稻统防统治片区",
        "Zhongcun paddies, crop protection",
        _gln(106),
        26.331,
        113.757,
    ),
)

_ZONES = (
    Zone("plot-a", "zhongcun-base", "A 号桃园", "Plot A", _gln(1_001), "ambient"),
    Zone("plot-b", "zhongcun-base", "B 号桃园", "Plot B", _gln(1_002)),
    Zone("plot-c", "zhongcun-base", "C 号桃园", "Plot C", _gln(1_003)),
    Zone("precool-1", "zhongcun-precool", "预冷间", "Pre-cooling chamber", _gln(1_011), "pre-cooling"),
    Zone("hall-1", "zhongcun-precool", "分选包装间", "Sorting and packing hall", _gln(1_012), "packing"),
    Zone("dock-1", "yanling-store", "月台", "Loading dock", _gln(1_020)),
    Zone("room-1", "yanling-store", "1 号保鲜库(黄桃)", "Room 1, peaches", _gln(1_021), "peach"),
    Zone("room-2", "yanling-store", "2 号保鲜库(黄桃)", "Room 2, peaches", _gln(1_022), "peach"),
    Zone("room-3", "yanling-store", "3 号保鲜库(黄桃)", "Room 3, peaches", _gln(1_023), "peach"),
    Zone("room-4", "yanling-store", "4 号保鲜库(香菇)", "Room 4, shiitake", _gln(1_024), "shiitake"),
    Zone("room-5", "yanling-store", "5 号冷冻库", "Room 5, frozen", _gln(1_025), "frozen"),
    Zone("room-6", "yanling-store", "6 号冷冻库", "Room 6, frozen", _gln(1_026), "frozen"),
    Zone("truck-b01-box", "truck-b01", "车厢", "Truck body", _gln(1_031), "reefer"),
    Zone("locker-1", "changsha-shop", "1 号智能菜柜", "Smart locker 1", _gln(1_041), "locker"),
    Zone("paddy-1", "zhongcun-fields", "1 号稻田", "Paddy 1", _gln(1_051)),
)

_GATEWAYS = (
    Gateway("gw-zhongcun", "zhongcun-precool", 7),
    Gateway("gw-yanling", "yanling-store", 12),
    Gateway("gw-truck-b01", "truck-b01", 23),
    Gateway("gw-changsha", "changsha-shop", 31),
)

_CLIMATE = (Channel("air_temperature", "Cel", 60.0), Channel("relative_humidity", "%RH", 60.0))
_CHAMBER = (
    Channel("air_temperature", "Cel", 5.0),
    Channel("product_temperature", "Cel", 10.0),
    Channel("relative_humidity", "%RH", 10.0),
    Channel("door_open", "", 5.0),
    Channel("compressor", "", 10.0),
)
_POSITION = (Channel("lat", "lat", 10.0), Channel("lon", "lon", 10.0), Channel("speed", "m/s", 10.0))
_ROOM = (
    *_CHAMBER,
    Channel("defrost", "", 10.0),
    Channel("power", "W", 10.0),
    Channel("setpoint", "Cel", 60.0),
    Channel("evaporator_temperature", "Cel", 10.0),
    Channel("mains", "", 10.0),
)
"""What the supervisors' exports of real rooms show, and the phase relay every room controller has."""
_TRUCK = (*_CHAMBER, Channel("setpoint", "Cel", 60.0), *_POSITION)
_LOCKER = (
    Channel("air_temperature", "Cel", 10.0),
    Channel("door_open", "", 5.0),
    Channel("compressor", "", 10.0),
    Channel("weight", "kg", 10.0),
)
_DRONE = (
    *_POSITION,
    Channel("flow", "l/s", 10.0),
    Channel("tank", "l", 10.0),
    Channel("battery", "%EL", 10.0),
)
_SCALE = (Channel("weight", "kg", 10.0),)

_DEVICES = (
    Device("station-1", "gw-zhongcun", "plot-a", "station", "桃园气象站", "Orchard station", _CLIMATE),
    Device(
        "precooler-1",
        "gw-zhongcun",
        "precool-1",
        "pre_cooler",
        "压差预冷机",
        "Forced-air pre-cooler",
        (*_CHAMBER, Channel("power", "W", 10.0)),
    ),
    Device("hall-1", "gw-zhongcun", "hall-1", "station", "包装间温湿度计", "Packing hall thermometer", _CLIMATE),
    Device("scale-1", "gw-zhongcun", "hall-1", "scale", "地磅", "Platform scale", _SCALE),
    Device("scanner-1", "gw-zhongcun", "hall-1", "scanner", "产地手持机", "Orchard handheld scanner"),
    Device("drone-1", "gw-zhongcun", "paddy-1", "drone", "植保无人机", "Plant-protection drone", _DRONE),
    *(
        Device(
            f"room-{number}",
            "gw-yanling",
            f"room-{number}",
            "cold_room",
            f"{number} 号库控制器",
            f"Room {number} controller",
            _ROOM,
        )
        for number in range(1, 7)
    ),
    Device("scanner-2", "gw-yanling", "dock-1", "scanner", "冷库手持机", "Store handheld scanner"),
    Device("reefer-1", "gw-truck-b01", "truck-b01-box", "reefer", "冷机与定位终端", "Reefer unit and terminal", _TRUCK),
    Device("locker-1", "gw-changsha", "locker-1", "locker", "智能菜柜控制器", "Locker controller", _LOCKER),
    Device("scanner-3", "gw-changsha", "locker-1", "scanner", "门店手持机", "Shop handheld scanner"),
)


def demo_county() -> County:
    """Return the demo county; the same value every time."""
    return County(
        levels=_LEVELS,
        organisations=_ORGANISATIONS,
        participants=_PARTICIPANTS,
        limit_profiles=_LIMITS,
        products=_PRODUCTS,
        sites=_SITES,
        zones=_ZONES,
        gateways=_GATEWAYS,
        devices=_DEVICES,
    )
