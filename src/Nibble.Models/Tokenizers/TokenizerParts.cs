using Nibble.Models.Tokenizers.Decoding;
using Nibble.Models.Tokenizers.Models;
using Nibble.Models.Tokenizers.Normalizers;
using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers;

/// <summary>What a file says a tokenizer is made of.</summary>
internal sealed record TokenizerParts
{
    /// <summary>The algorithm, for a person: BPE, Unigram, WordPiece.</summary>
    public required string Kind { get; init; }

    public required Vocabulary Vocabulary { get; init; }
    public required TokenModel Model { get; init; }
    public required PieceDecoder Decoder { get; init; }

    /// <summary>The merges of a byte-pair vocabulary in order, for writing it again.</summary>
    public IReadOnlyList<TokenPair> Merges { get; init; } = [];

    /// <summary>Whether a piece that is a token becomes that token, whatever the merges say.</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Whether the characters of the tokens are bytes, as <see cref="ByteAlphabet"/> names them.</summary>
    public bool NamesBytes { get; init; }

    /// <summary>The log-probability of each token of a unigram vocabulary.</summary>
    public IReadOnlyList<double> Scores { get; init; } = [];

    /// <summary>The id for what the vocabulary does not have, or -1.</summary>
    public int Unknown { get; init; } = -1;

    public Normalizer? Normalizer { get; init; }
    public PreTokenizer? PreTokenizer { get; init; }
    public IReadOnlyList<AddedToken> Added { get; init; } = [];

    /// <summary>The ids before every text.</summary>
    public IReadOnlyList<int> Prefix { get; init; } = [];

    /// <summary>The ids after every text.</summary>
    public IReadOnlyList<int> Suffix { get; init; } = [];

    public int? Bos { get; init; }
    public int? Eos { get; init; }
    public IReadOnlyList<int> EndTokens { get; init; } = [];
    public string? ChatTemplate { get; init; }

    /// <summary>The tokenizer.json it came from, if it did.</summary>
    public string? Source { get; init; }

    /// <summary>What a person should know of the tokenizer: where the file was silent and a guess was made.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}
