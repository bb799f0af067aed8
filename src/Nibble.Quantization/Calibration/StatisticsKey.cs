using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Nibble.Core;
using Nibble.Files.Gguf;

namespace Nibble.Quantization.Calibration;

/// <summary>What saved statistics were measured on: they serve no other model, no other tokens and no other arithmetic.</summary>
/// <param name="Model">SHA-256 over the weights, and over the configuration beside them.</param>
/// <param name="Tokens">SHA-256 of all token ids: of the text, the tokenizer, and how the text is cut.</param>
/// <param name="Chunks">That were read.</param>
/// <param name="Context">Tokens of each.</param>
public sealed record StatisticsKey(string Model, string Tokens, uint Chunks, uint Context)
{
    private const string TypeKey = "general.type", ModelKey = "nibble.source_sha256", TokensKey = "nibble.tokens_sha256";
    private const string ChunksKey = "nibble.chunks", ContextKey = "nibble.context", PrecisionKey = "nibble.precision";

    /// <summary>How statistics are computed; what is computed otherwise gets another word.</summary>
    private const string Precision = "bfloat16 inputs, float32 sums";

    /// <param name="model">The hash of all files that decide what the model makes of the tokens.</param>
    /// <param name="texts">Token ids, all of one length.</param>
    internal static StatisticsKey Of(string model, IReadOnlyList<int[]> texts)
    {
        using var tokens = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (int[] text in texts) tokens.AppendData(MemoryMarshal.AsBytes<int>(text));
        return new StatisticsKey(model, Convert.ToHexStringLower(tokens.GetHashAndReset()), (uint)texts.Count, (uint)texts[0].Length);
    }

    /// <summary>The metadata of a file of such statistics.</summary>
    /// <param name="type">What the file holds.</param>
    public GgufMetadata Describe(string path, string type)
    {
        var metadata = new GgufMetadata(path);
        metadata.Set(TypeKey, type);
        metadata.Set(ModelKey, Model);
        metadata.Set(TokensKey, Tokens);
        metadata.Set(ChunksKey, Chunks);
        metadata.Set(ContextKey, Context);
        metadata.Set(PrecisionKey, Precision);
        return metadata;
    }

    /// <summary>Refuses a file that was measured otherwise.</summary>
    /// <exception cref="UnusableInputException">One line says what differs.</exception>
    public void Check(GgufMetadata found, string type)
    {
        if (found.GetString(TypeKey, "") != type) throw new UnusableInputException($"{found.Path}: is a GGUF file, but none of {type}; name another folder for the statistics");
        string? differs =
            found.GetString(ModelKey) != Model ? "another model"
            : found.GetUInt32(ChunksKey) != Chunks ? $"{found.GetUInt32(ChunksKey)} chunks of text, and {Chunks} are asked for"
            : found.GetUInt32(ContextKey) != Context ? $"chunks of {found.GetUInt32(ContextKey)} tokens, and {Context} are asked for"
            : found.GetString(TokensKey) != Tokens ? "another text"
            : found.GetString(PrecisionKey) != Precision ? "another build's arithmetic" : null;
        if (differs is not null) throw new UnusableInputException($"{found.Path}: was measured with {differs}; name another folder for the statistics, or delete the file");
    }
}
