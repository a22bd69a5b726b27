# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version paris
"""
@title HanluAnchor
@license Apache-2.0
@notice Keeps one word: the hash of the whole history of one transparency log's anchored checkpoints.
@dev head = keccak256(prev_head, seq, size, root), four words of 32 bytes. Before the first anchor,
     prev_head is the hash of the log's origin, seq and size are 0 and root is that of the empty tree,
     so the head commits to the log it belongs to. One deployed contract serves one log.
     A call shows what the head is made of and thereby proves that the caller knows the history;
     a repeated call, or a second writer, no longer matches and reverts. `size` never falls.
     The keeper is fixed at deployment: nobody else can put a root into this log's history.
"""

event Anchored:
    seq: indexed(uint256)
    size: uint256
    root: bytes32

# SHA-256 of nothing: the root of a tree without leaves (RFC 9162, section 2.1.1).
EMPTY_ROOT: constant(bytes32) = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

KEEPER: immutable(address)
ORIGIN: immutable(bytes32)

head: public(bytes32)


@deploy
def __init__(origin: bytes32):
    """
    @param origin SHA-256 of the log's origin line.
    """
    KEEPER = msg.sender
    ORIGIN = origin
    self.head = keccak256(abi_encode(origin, empty(uint256), empty(uint256), EMPTY_ROOT))


@external
def anchor(prev: bytes32, seq: uint256, size: uint256, root: bytes32, new_size: uint256, new_root: bytes32):
    """
    @notice Put the next checkpoint behind the last one.
    @param prev Head before the last anchor.
    @param seq Number of the last anchor; the new one gets the next number.
    @param size Tree size of the last anchor.
    @param root Root hash of the last anchor.
    @param new_size Tree size to anchor, not below `size`.
    @param new_root Root hash to anchor.
    """
    assert msg.sender == KEEPER, "not the keeper"
    last: bytes32 = keccak256(abi_encode(prev, seq, size, root))
    assert last == self.head, "not the head"
    assert new_size >= size, "size falls"
    next_seq: uint256 = unsafe_add(seq, 1)
    self.head = keccak256(abi_encode(last, next_seq, new_size, new_root))
    log Anchored(seq=next_seq, size=new_size, root=new_root)


@external
@view
def origin() -> bytes32:
    """
    @notice SHA-256 of the origin line of the log this contract serves.
    """
    return ORIGIN


@external
@view
def keeper() -> address:
    """
    @notice The only account that may anchor.
    """
    return KEEPER
