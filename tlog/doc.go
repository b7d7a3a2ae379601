// Package tlog is the record that cannot be rewritten unseen: leaves -> tiles,
// checkpoints, proofs, witnesses and bundles that are verified offline.
//
// Rules of this room:
//   - Leaves, tiles and checkpoints hold no personal data: commitments, counts,
//     hours, codes and ids of operators only.
//   - Tiles are a pure function of the leaves, byte for byte. What can be
//     computed from leaves is never a source of truth.
//   - Only one head: nothing is signed that does not extend the last head by
//     proof, and the head moves by compare and swap ([Heads]). That guarantee is
//     an interface of its own, apart from bulk storage ([TileStore]).
//   - No clock but the one passed in, no network but the http.Client passed in.
//   - Everything read back (tile, checkpoint, bundle, request) is hostile:
//     bounded, strict, canonical.
//
// Formats, in full in docs/formats/log.md:
//
//   - a leaf is version, type, hour and two commitments ([Leaf]);
//   - commitments are salted SHA-256 with a domain of their own ([CommitPart],
//     [CommitFacts], [CommitDecision]);
//   - tiles and entry bundles are C2SP tlog-tiles, the head is a C2SP
//     tlog-checkpoint, witnesses speak C2SP tlog-witness and sign C2SP
//     tlog-cosignature "cosignature/v1" (Ed25519);
//   - a bundle is one JSON document with all that a verifier needs but the
//     checkpoint that he trusts ([Bundle], [VerifyBundle]).
package tlog
