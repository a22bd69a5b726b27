/* Reads an anchor out of the chain node's own receipt of its transaction. */

/** keccak256("Anchored(uint256,uint256,bytes32)"): first topic of the anchor's log entry. */
export const ANCHORED = "0x9d6b47dd4a7ae280337065ce86e051368675532829120179d79316a005c9d84d";

const lower = (text) => String(text).toLowerCase();

/**
 * What the chain says about an anchor.
 *
 * @param {{chainId: string, receipt: object}} reply the node's answers, unchanged
 * @param {{tx: string, contract: string, block: number}} anchor the statement to be checked
 * @returns {object} in the form `verifyBundle` compares; where the receipt is of another transaction or block, or holds
 *   no such entry, of a number no anchor has, so that the comparison fails
 */
export function anchorOf(reply, { tx, contract, block }) {
  const nothing = { chainId: Number(reply.chainId), contract, seq: 0, size: 0, root: "" };
  const receipt = reply.receipt;
  const ours = receipt && receipt.status === "0x1" && lower(receipt.transactionHash) === tx
    && Number(receipt.blockNumber) === block && Array.isArray(receipt.logs);
  if (!ours) return nothing;
  const entry = receipt.logs.find((log) =>
    lower(log.address) === contract && log.topics.length === 2 && lower(log.topics[0]) === ANCHORED);
  if (!entry || entry.data.length !== 130) return nothing;
  return {
    chainId: Number(reply.chainId),
    contract,
    seq: Number(entry.topics[1]),
    size: Number(entry.data.slice(0, 66)),
    root: `0x${entry.data.slice(66)}`,
  };
}
