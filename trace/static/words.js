/* Words of the shopper's page, Chinese and English: those of trace/step_words.py, which a test holds this file to.
 * They stand here and not in the page, so that nobody who changes the page changes what its check takes for right.
 */

export const STEPS = {
  accepting: ["接受", "Accepted"],
  arriving: ["到达", "Arrived"],
  assembling: ["组装", "Assembled"],
  collecting: ["收集", "Collected"],
  commissioning: ["赋码建批", "Lot created"],
  consigning: ["托运", "Consigned"],
  creating_class_instance: ["生产建批", "Produced"],
  cycle_counting: ["盘点", "Counted"],
  decommissioning: ["注销", "Withdrawn"],
  departing: ["出发", "Departed"],
  destroying: ["销毁", "Destroyed"],
  disassembling: ["拆解", "Taken apart"],
  dispensing: ["分发", "Dispensed"],
  encoding: ["写码", "Encoded"],
  entering_exiting: ["进出", "Passed"],
  holding: ["暂扣", "Held"],
  inspecting: ["检验", "Inspected"],
  installing: ["安装", "Installed"],
  killing: ["标签失效", "Tag killed"],
  loading: ["装车", "Loaded"],
  other: ["其他作业", "Other work"],
  packing: ["分选包装", "Sorted and packed"],
  picking: ["拣货", "Picked"],
  receiving: ["收货", "Received"],
  removing: ["移除", "Removed"],
  repackaging: ["重新包装", "Repacked"],
  repairing: ["修理", "Repaired"],
  replacing: ["更换", "Replaced"],
  reserving: ["预留", "Reserved"],
  retail_selling: ["零售售出", "Sold to a shopper"],
  sampling: ["抽样", "Sampled"],
  sensor_reporting: ["传感器上报", "Measured"],
  shipping: ["发运", "Shipped"],
  staging_outbound: ["出库备货", "Staged"],
  stock_taking: ["清点库存", "Stock taken"],
  stocking: ["上架", "Put on sale"],
  storing: ["入库存放", "Stored"],
  transporting: ["运输", "Transported"],
  unloading: ["卸车", "Unloaded"],
  unpacking: ["拆包", "Unpacked"],
  void_shipping: ["发运取消", "Shipment voided"],
};

export const HARVESTED = ["采收", "Harvested"];

export const FACTS = {
  lotNumber: ["批号", "Lot number"],
  harvestStartDate: ["采收开始", "Harvest began"],
  harvestEndDate: ["采收结束", "Harvest ended"],
  countryOfOrigin: ["产地国", "Origin"],
  bestBeforeDate: ["最佳食用期至", "Best before"],
  variety: ["品种", "Variety"],
  cooperative: ["合作社", "Cooperative"],
  plot: ["地块", "Plot"],
  grade: ["等级", "Grade"],
  netWeightKilograms: ["净含量(千克)", "Net weight (kg)"],
  registration: ["登记证号", "Registration"],
  kind: ["类别", "Kind"],
  preHarvestIntervalDays: ["安全间隔期(天)", "Pre-harvest interval (days)"],
  work: ["作业", "Work"],
  dose: ["用量", "Dose"],
};

export const UNITS = {
  "": ["件", "pcs"],
  KGM: ["千克", "kg"],
  GRM: ["克", "g"],
  TNE: ["吨", "t"],
  LTR: ["升", "L"],
  MLT: ["毫升", "mL"],
};

/** The step of an event as a shopper reads it; `index` 0 is Chinese, 1 English. */
export function stopText(stop, index) {
  const harvest = stop.facts.some(([name]) => name.endsWith(":harvestStartDate") || name.endsWith(":harvestEndDate"));
  if (stop.step === "commissioning" && harvest) return HARVESTED[index];
  return STEPS[stop.step]?.[index] ?? stop.step;
}

/** The name of a fact without its prefix, in the reader's language where it is known. */
export function factText(name, index) {
  const bare = name.slice(name.lastIndexOf(":") + 1);
  return FACTS[bare]?.[index] ?? bare;
}

/** An amount with its unit. */
export function amountText([number, unit], index) {
  return `${number} ${UNITS[unit]?.[index] ?? unit}`;
}
