"""What the verifier says, in Chinese and English: one pair of sentences for each outcome.

`static/verify.js` carries the same table under the same names; a test compares the two.
"""

from __future__ import annotations

from typing import Final

__all__ = ["WORDS"]

WORDS: Final[dict[str, tuple[str, str]]] = {
    "format.ok": ("文件格式正确", "The file has the right form"),
    "format.bad": ("文件格式不对，无法核验", "The file does not have the right form and cannot be checked"),
    "key.ok": ("日志密钥与您信任的密钥一致", "The log's key is the one you trust"),
    "key.bad": ("日志密钥与您信任的密钥不一致", "The log's key is not the one you trust"),
    "key.unknown": (
        "密钥取自本文件，未与其他来源核对",
        "The key comes from this file and was not compared with another source",
    ),
    "checkpoint.ok": ("日志检查点完整", "The log's checkpoint is well formed"),
    "checkpoint.bad": ("日志检查点损坏", "The log's checkpoint is broken"),
    "checkpoint.origin": ("检查点不属于这份日志", "The checkpoint belongs to another log"),
    "signature.ok": ("检查点签名有效", "The checkpoint's signature is valid"),
    "signature.bad": ("检查点签名无效", "The checkpoint's signature is not valid"),
    "signature.none": ("无法核验签名：密钥或检查点损坏", "No signature to check: key or checkpoint is broken"),
    "signature.unknown": (
        "此浏览器不支持该签名算法，签名未核验",
        "This browser cannot check this kind of signature",
    ),
    "leaf.ok": ("日志条目格式正确", "The log entry has the right form"),
    "leaf.bad": ("日志条目损坏", "The log entry is broken"),
    "leaf.lot": ("日志条目属于另一批次", "The log entry belongs to another lot"),
    "document.ok": ("记录与日志条目的摘要一致", "The record matches the digest in its log entry"),
    "document.bad": ("记录与日志条目的摘要不符：内容被改动", "The record does not match the digest in its log entry"),
    "document.kind": ("记录的种类与日志条目不符", "The record is of another kind than its log entry says"),
    "curve.ok": ("温度曲线的数据点完整有序", "The curve's points are complete and in order"),
    "curve.bad": ("温度曲线的数据点有误", "The curve's points are not in order"),
    "inclusion.ok": ("条目确在日志中", "The entry is in the log"),
    "inclusion.bad": ("条目不在日志中：证明不成立", "The entry is not in the log: the proof is false"),
    "inclusion.path": ("证明路径格式不对", "The proof path does not have the right form"),
    "chain.ok": ("批次记录从第一条起连续无缺", "The lot's records are unbroken from the first"),
    "chain.bad": ("批次记录有缺失、重复或乱序", "Records of the lot are missing, repeated or out of order"),
    "head.ok": ("最新一条记录在内，没有截尾", "The newest record is here: nothing was cut off"),
    "head.bad": ("最新记录不在内：历史被截断", "The newest record is not here: the history was cut"),
    "anchor.ok": ("锚定声明与检查点一致", "The anchor's statement equals the checkpoint"),
    "anchor.bad": ("锚定声明与检查点不符", "The anchor's statement differs from the checkpoint"),
    "anchor.none": ("检查点尚未锚定到链上", "The checkpoint is not anchored on a chain yet"),
    "chain-anchor.ok": ("区块链上的记录与检查点一致", "The chain's record equals the checkpoint"),
    "chain-anchor.bad": ("区块链上的记录与检查点不符", "The chain's record differs from the checkpoint"),
    "chain-anchor.unknown": ("未查询区块链", "The chain was not asked"),
}
"""Outcome to (Chinese, English). The part before the dot is the check's id."""
