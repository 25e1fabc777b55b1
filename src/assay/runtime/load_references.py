"""The enrolled photos of a policy, as its file of references has them."""

from __future__ import annotations

from collections.abc import Mapping

from assay.decide.policy import Policy
from assay.decide.references import References, read_references
from assay.errors import PolicyError


def load_references(policy: Policy, digests: Mapping[str, str]) -> References | None:
    """None of them where nobody enrolled any; None where the policy matches nothing.

    Parameters
    ----------
    digests : question -> SHA-256 of its Bundle and the precision, as ``Screener.digests``; of the policy's embedding.

    Raises
    ------
    PolicyError : the file is damaged, or its embeddings are of another network.
    """
    place, rules = policy.references_path, policy.matching
    if place is None or rules is None:
        return None
    network = None if rules.embedding is None else digests[rules.embedding]
    if not place.exists():
        return References(network)
    found = read_references(place)
    if network is not None and found.network not in (None, network):
        raise PolicyError(
            f"the embeddings in {place} are of another network, or of one in another precision",
            got=f"{found.network}; {rules.embedding} is answered by {network}",
            fix=f"remove {place} and enrol the photos again: assay enrol {policy.path} PHOTOS --as ...",
        )
    found.network = network or found.network
    return found
