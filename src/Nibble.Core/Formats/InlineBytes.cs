using System.Runtime.CompilerServices;

namespace Nibble.Core.Formats;

// Fixed arrays of bytes inside a block.

[InlineArray(4)] public struct Bytes4 { private byte _first; }
[InlineArray(8)] public struct Bytes8 { private byte _first; }
[InlineArray(12)] public struct Bytes12 { private byte _first; }
[InlineArray(16)] public struct Bytes16 { private byte _first; }
[InlineArray(32)] public struct Bytes32 { private byte _first; }
[InlineArray(48)] public struct Bytes48 { private byte _first; }
[InlineArray(64)] public struct Bytes64 { private byte _first; }
[InlineArray(128)] public struct Bytes128 { private byte _first; }
