"""Anchoring: the newest checkpoint's hash on an EVM chain, one call whatever the number of records.

`sender` decides and touches nothing, `store` keeps the signed transactions, `web3_chain` alone speaks to a node, and
`loop` carries decisions out. `contract/` holds the contract's source and what the compiler made of it.
"""

from __future__ import annotations
