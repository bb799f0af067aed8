using System.Text;
using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Models.Tokenizers.Decoding;
using Nibble.Models.Tokenizers.Gguf;
using Nibble.Models.Tokenizers.HuggingFace;
using Nibble.Models.Tokenizers.Models;
using Nibble.Models.Tokenizers.Normalizers;
using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers;

/// <summary>
/// Text to ids and back. Added tokens are cut out first; what lies between is normalized, cut into pieces, and each
/// piece becomes ids. Safe to use from several threads.
/// </summary>
public sealed class Tokenizer
{
    private readonly TokenizerParts _parts;
    private readonly AddedTokenMatcher _raw, _normalized;
    private readonly Dictionary<int, AddedToken> _added;
    private readonly Dictionary<int, string> _normalizedContents;
    private readonly byte[]?[] _pieces;

    internal Tokenizer(TokenizerParts parts)
    {
        _parts = parts;
        _added = parts.Added.ToDictionary(t => t.Id);
        _raw = new AddedTokenMatcher(parts.Added.Where(t => !t.Normalized).Select(t => (t, t.Content)));
        _normalizedContents = parts.Added.Where(t => t.Normalized).ToDictionary(t => t.Id, t => parts.Normalizer?.Apply(t.Content) ?? t.Content);
        _normalized = new AddedTokenMatcher(parts.Added.Where(t => t.Normalized).Select(t => (t, _normalizedContents[t.Id])));
        VocabularySize = Math.Max(parts.Vocabulary.Size, parts.Added.Select(t => t.Id + 1).DefaultIfEmpty().Max());
        _pieces = new byte[VocabularySize][];
    }

    /// <summary>Reads the tokenizer that stands beside a model's weights, or in the same file.</summary>
    /// <exception cref="UnusableInputException">There is none, or it is broken, or of another model.</exception>
    public static Tokenizer Of(ModelSource model)
    {
        Tokenizer tokenizer = model.File is GgufFile gguf ? FromGguf(gguf.Metadata) : FromFolder(model.Folder);
        int vocabulary = model.Config.Vocabulary;
        if (tokenizer.VocabularySize > vocabulary)
            throw new UnusableInputException($"{model.Path}: the tokenizer has {tokenizer.VocabularySize} tokens, but the model has embeddings for {vocabulary}; they do not belong together");
        foreach (int id in (int[])[.. tokenizer.Parts.Prefix, .. tokenizer.Parts.Suffix])
            if ((uint)id >= (uint)vocabulary)
                throw new UnusableInputException($"{model.Path}: the tokenizer puts token {id} around every text, but the model has embeddings for {vocabulary}; they do not belong together");
        return tokenizer;
    }

    /// <summary>Reads the tokenizer of a Hugging Face folder: tokenizer.json and what stands beside it.</summary>
    /// <exception cref="UnusableInputException">A file is missing or broken, or has a part that is not supported.</exception>
    public static Tokenizer FromFolder(string folder) => FolderTokenizer.Read(folder);

    /// <summary>Reads the tokenizer in a GGUF file's metadata.</summary>
    /// <exception cref="UnusableInputException">There is none, or it is broken or of a kind that is not supported.</exception>
    public static Tokenizer FromGguf(GgufMetadata metadata) => new(GgufTokenizerReader.Read(metadata));

    /// <summary>
    /// Writes the tokenizer as llama.cpp reads it, and also as the tokenizer.json it came from where llama.cpp's keys
    /// cannot say it all.
    /// </summary>
    /// <param name="metadata">Gets the keys that begin with <c>tokenizer.</c></param>
    /// <param name="embeddingRows">The rows of the model's embedding; where there are more than tokens, unused tokens are added.</param>
    /// <returns>What llama.cpp will do otherwise, a sentence each.</returns>
    /// <exception cref="UnusableInputException">GGUF has no name for such a tokenizer.</exception>
    public IReadOnlyList<string> WriteTo(GgufMetadata metadata, int embeddingRows) => new GgufTokenizerWriter(this, metadata).Write(embeddingRows);

    /// <summary>What a person should know: where a file was silent and a guess was made. A sentence each.</summary>
    public IReadOnlyList<string> Warnings => _parts.Warnings;

    /// <summary>One more than the largest id.</summary>
    public int VocabularySize { get; }

    /// <summary>The token that begins every text, if the vocabulary has one.</summary>
    public int? Bos => _parts.Bos;

    /// <summary>The token that ends a text, if the vocabulary has one.</summary>
    public int? Eos => _parts.Eos;

    /// <summary>Every token after which generating stops: the end of the text, of a turn, of a message.</summary>
    public IReadOnlyList<int> EndTokens => _parts.EndTokens;

    /// <summary>Whether <see cref="Encode"/> begins with <see cref="Bos"/>.</summary>
    public bool AddBos => Bos is { } bos && _parts.Prefix.Contains(bos);

    /// <summary>Whether <see cref="Encode"/> ends with <see cref="Eos"/>.</summary>
    public bool AddEos => Eos is { } eos && _parts.Suffix.Contains(eos);

    /// <summary>The chat template in Jinja, if the model has one.</summary>
    public string? ChatTemplate => _parts.ChatTemplate;

    /// <summary>What it is made of, for a person: "BPE, 4096 tokens".</summary>
    public string Description => $"{_parts.Kind}, {VocabularySize} tokens";

    internal TokenizerParts Parts => _parts;

    /// <summary>The ids of a text.</summary>
    /// <param name="text">Any text; unpaired surrogates become U+FFFD.</param>
    /// <param name="addSpecial">Whether to add the tokens that begin and end a text, where the model has them.</param>
    /// <param name="parseSpecial">Whether special tokens written in the text are the tokens, rather than text that looks like them.</param>
    /// <exception cref="UnusableInputException">The tokenizer's pattern takes too long on this text.</exception>
    public int[] Encode(string text, bool addSpecial = true, bool parseSpecial = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>(text.Length / 3 + 8);
        if (addSpecial) ids.AddRange(_parts.Prefix);
        var pieces = new List<ReadOnlyMemory<char>>();
        text = WithoutLoneSurrogates(text);
        foreach ((AddedToken? token, int start, int end) in _raw.Cut(text, parseSpecial))
        {
            if (token is not null) ids.Add(token.Id);
            else EncodeNormalized(text[start..end], start == 0, parseSpecial, pieces, ids);
        }
        if (addSpecial) ids.AddRange(_parts.Suffix);
        return [.. ids];
    }

    private void EncodeNormalized(string text, bool first, bool parseSpecial, List<ReadOnlyMemory<char>> pieces, List<int> ids)
    {
        text = _parts.Normalizer?.Apply(text) ?? text;
        foreach ((AddedToken? token, int start, int end) in _normalized.Cut(text, parseSpecial))
        {
            if (token is not null)
            {
                ids.Add(token.Id);
                continue;
            }
            pieces.Clear();
            if (_parts.PreTokenizer is null) pieces.Add(text.AsMemory(start, end - start));
            else _parts.PreTokenizer.Split(text.AsMemory(start, end - start), first && start == 0, pieces);
            foreach (ReadOnlyMemory<char> piece in pieces) _parts.Model.Encode(piece.Span, ids);
        }
    }

    internal IReadOnlyDictionary<int, AddedToken> Added => _added;

    /// <summary>The text of ids.</summary>
    /// <param name="ids">Ids outside the vocabulary stand for nothing.</param>
    /// <param name="special">Whether special tokens are written out too.</param>
    public string Decode(ReadOnlySpan<int> ids, bool special = false)
    {
        var bytes = new MemoryStream();
        var run = new List<byte>();
        bool first = true;
        foreach (int id in ids)
        {
            if (!special && IsSpecial(id)) continue;
            byte[] piece = Piece(id, first, out bool isByte);
            first = false;
            if (isByte)
            {
                run.Add(piece[0]);
                continue;
            }
            WriteRun(run, bytes);
            bytes.Write(piece);
        }
        WriteRun(run, bytes);
        return Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
    }

    /// <summary>Byte tokens in a row are text if they are UTF-8, otherwise each is U+FFFD, as Hugging Face has it.</summary>
    private static void WriteRun(List<byte> run, MemoryStream bytes)
    {
        if (run.Count == 0) return;
        byte[] all = [.. run];
        run.Clear();
        if (System.Text.Unicode.Utf8.IsValid(all)) bytes.Write(all);
        else foreach (byte _ in all) bytes.Write("\uFFFD"u8);
    }

    /// <summary>Text from ids that come one by one.</summary>
    /// <param name="special">Whether special tokens are written out too.</param>
    public StreamingDecoder DecodeStream(bool special = false) => new(this, special);

    /// <summary>The bytes of one token within a text; they may be part of a character. Empty for ids outside the vocabulary.</summary>
    public ReadOnlySpan<byte> TokenPiece(int id) => Piece(id, first: false, out _);

    /// <summary>The token as the vocabulary writes it, or null for ids that name none.</summary>
    public string? Token(int id) => _added.TryGetValue(id, out AddedToken? token) ? token.Content : _parts.Vocabulary[id];

    /// <summary>The id of a token as the vocabulary writes it, or null.</summary>
    public int? Find(string token) => _parts.Added.FirstOrDefault(t => t.Content == token)?.Id
        ?? (_parts.Vocabulary.Find(token) is var id and >= 0 ? id : null);

    /// <summary>Whether generating stops after this token.</summary>
    public bool IsEnd(int id) => _parts.EndTokens.Contains(id);

    /// <summary>Whether the token marks structure rather than text.</summary>
    public bool IsSpecial(int id) => _added.TryGetValue(id, out AddedToken? token) && token.Special;

    internal byte[] Piece(int id, bool first, out bool isByte)
    {
        isByte = false;
        if ((uint)id >= (uint)_pieces.Length || Token(id) is not { } token) return [];
        // Only tokens of several bytes are kept: whether a token is a lone byte must be said each time.
        if (!first && _pieces[id] is { } known) return known;
        byte[] piece = _parts.Decoder.Decode(_normalizedContents.GetValueOrDefault(id, token), first, out isByte);
        if (!first && !isByte) _pieces[id] = piece;
        return piece;
    }

    private static string WithoutLoneSurrogates(string text)
    {
        if (!CategoryShadow.IsNeeded(text)) return text;
        var repaired = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) repaired.Append(rune);
        return repaired.ToString();
    }
}
