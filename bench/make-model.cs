// A model of a known shape with random weights, to time engines with: speed does not depend on what the weights say, but for
// F16, whose numbers are bfloat16 numbers here, as in models that were published in bfloat16.
//
//   dotnet run bench/make-model.cs -- OUT.gguf [--shape llama-3.2-1b] [--to F16] [--force]
//
// Every matrix is written row by row, so memory stays small whatever the size. The same arguments give the same file.
#:project ../src/Nibble.Files/Nibble.Files.csproj
using System.Globalization;
using System.Numerics;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Files.Gguf;

var shapes = new Dictionary<string, Shape>
{
    ["tiny"] = new(Width: 256, Layers: 2, Heads: 4, KeyHeads: 2, HeadSize: 64, FeedForward: 768, Vocabulary: 4_096),
    ["llama-3.2-1b"] = new(Width: 2_048, Layers: 16, Heads: 32, KeyHeads: 8, HeadSize: 64, FeedForward: 8_192, Vocabulary: 128_256),
    ["llama-3.2-3b"] = new(Width: 3_072, Layers: 28, Heads: 24, KeyHeads: 8, HeadSize: 128, FeedForward: 8_192, Vocabulary: 128_256),
    ["llama-2-7b"] = new(Width: 4_096, Layers: 32, Heads: 32, KeyHeads: 32, HeadSize: 128, FeedForward: 11_008, Vocabulary: 32_000),
};
try
{
    if (args.Length == 0 || args[0].StartsWith('-')) throw new UnusableInputException("name the file to write: make-model.cs -- OUT.gguf");
    string name = Option("--shape", "llama-3.2-1b");
    if (!shapes.TryGetValue(name, out Shape? shape))
        throw new UnusableInputException($"--shape {name}: there is {string.Join(", ", shapes.Keys)}");
    Write(args[0], name, shape, Format.Parse(Option("--to", "F16")), force: args.Contains("--force"));
    return 0;
}
catch (UnusableInputException e)
{
    Console.Error.WriteLine(e.Message);
    return 2;
}

string Option(string option, string fallback) =>
    Array.IndexOf(args, option) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : fallback;

static void Write(string path, string name, Shape shape, Format format, bool force)
{
    using var writer = new GgufWriter(path, Metadata(path, name, shape), [.. shape.Tensors(format)], force);
    ulong seed = 0;
    while (writer.Current is { } tensor)
    {
        WriteTensor(writer, tensor, ++seed);
        if (!Console.IsErrorRedirected) Console.Error.Write($"\r{tensor.Name,-32}");
    }
    writer.Commit();
    if (!Console.IsErrorRedirected) Console.Error.Write($"\r{"",-32}\r");
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{path}: {new FileInfo(path).Length / 1e9:F3} GB, {format.Name}"));
}

// Gaussian weights of variance 1 / columns, so that activations stay near one; norms of one.
static void WriteTensor(GgufWriter writer, TensorInfo tensor, ulong seed)
{
    var generator = new Random((int)seed);
    float deviation = 1 / MathF.Sqrt(tensor.Columns);
    var pool = new float[1 << 16];
    foreach (ref float weight in pool.AsSpan())
        weight = deviation * MathF.Sqrt(-2 * MathF.Log(1 - generator.NextSingle())) * MathF.Cos(MathF.Tau * generator.NextSingle());
    FloatFormat.RoundToBFloat16(pool, pool);
    Format format = tensor.Format!.ForColumns((int)tensor.Columns);
    var row = new float[tensor.Columns];
    var bytes = new byte[format.RowBytes(tensor.Columns)];
    ulong state = 0x9E3779B97F4A7C15 * seed;
    for (long r = 0; r < tensor.Rows; r++)
    {
        if (tensor.Shape.Count == 1) Array.Fill(row, 1f);
        else Draw(pool, ref state, row);
        format.Encode(row, default, bytes);
        writer.Write(bytes);
    }
}

// Four weights a step, from 16 random bits each (xorshift, Marsaglia 2003).
static void Draw(float[] pool, ref ulong state, float[] row)
{
    for (int i = 0; i < row.Length; i += 4)
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        for (int j = 0; j < 4 && i + j < row.Length; j++) row[i + j] = pool[(ushort)(state >> (16 * j))];
    }
}

static GgufMetadata Metadata(string path, string name, Shape shape)
{
    var metadata = new GgufMetadata(path);
    (string Key, object Value)[] entries =
    [
        ("general.architecture", "llama"), ("general.name", $"{name}, random weights"),
        ("llama.block_count", (uint)shape.Layers), ("llama.context_length", 131_072u), ("llama.embedding_length", (uint)shape.Width),
        ("llama.feed_forward_length", (uint)shape.FeedForward), ("llama.attention.head_count", (uint)shape.Heads),
        ("llama.attention.head_count_kv", (uint)shape.KeyHeads), ("llama.attention.key_length", (uint)shape.HeadSize),
        ("llama.attention.value_length", (uint)shape.HeadSize), ("llama.attention.layer_norm_rms_epsilon", 1e-5f),
        ("llama.rope.dimension_count", (uint)shape.HeadSize), ("llama.rope.freq_base", 500_000f), ("llama.vocab_size", (uint)shape.Vocabulary),
    ];
    foreach ((string key, object value) in entries) metadata.Set(key, value);
    SetVocabulary(metadata, shape.Vocabulary);
    return metadata;
}

// A byte-level vocabulary that any text can be cut into: 256 bytes, then every pair of bytes, then pairs with a third.
static void SetVocabulary(GgufMetadata metadata, int size)
{
    List<string> tokens = [.. Enumerable.Range(0, 256).Select(ByteLetter)], merges = [];
    for (int pair = 0; tokens.Count < size - 1; pair++)
    {
        merges.Add($"{tokens[pair / 256]} {tokens[pair % 256]}");
        tokens.Add(tokens[pair / 256] + tokens[pair % 256]);
    }
    tokens.Add("<|endoftext|>");
    const int normal = 1, control = 3; // llama.cpp's token types
    metadata.Set("tokenizer.ggml.model", "gpt2");
    metadata.Set("tokenizer.ggml.pre", "gpt-2");
    metadata.Set("tokenizer.ggml.tokens", tokens.ToArray());
    metadata.Set("tokenizer.ggml.token_type", tokens.Select((_, id) => id == size - 1 ? control : normal).ToArray());
    metadata.Set("tokenizer.ggml.merges", merges.ToArray());
    metadata.Set("tokenizer.ggml.bos_token_id", (uint)size - 1);
    metadata.Set("tokenizer.ggml.eos_token_id", (uint)size - 1);
}

// GPT-2's letter for a byte: itself if it prints, else the next of those from U+0100 on.
static string ByteLetter(int value)
{
    static bool Prints(int b) => b is (>= 33 and <= 126) or (>= 161 and <= 172) or >= 174;
    return ((char)(Prints(value) ? value : 256 + Enumerable.Range(0, value).Count(b => !Prints(b)))).ToString();
}

/// <summary>A Llama with tied embeddings.</summary>
internal sealed record Shape(int Width, int Layers, int Heads, int KeyHeads, int HeadSize, int FeedForward, int Vocabulary)
{
    /// <summary>Every tensor as llama.cpp names it, norms in float32.</summary>
    public IEnumerable<TensorInfo> Tensors(Format format)
    {
        yield return Matrix("token_embd", Vocabulary, Width);
        for (int layer = 0; layer < Layers; layer++)
        {
            string block = $"blk.{layer}.";
            yield return Norm(block + "attn_norm");
            yield return Matrix(block + "attn_q", Heads * HeadSize, Width);
            yield return Matrix(block + "attn_k", KeyHeads * HeadSize, Width);
            yield return Matrix(block + "attn_v", KeyHeads * HeadSize, Width);
            yield return Matrix(block + "attn_output", Width, Heads * HeadSize);
            yield return Norm(block + "ffn_norm");
            yield return Matrix(block + "ffn_gate", FeedForward, Width);
            yield return Matrix(block + "ffn_up", FeedForward, Width);
            yield return Matrix(block + "ffn_down", Width, FeedForward);
        }
        yield return Norm("output_norm");

        TensorInfo Matrix(string name, long rows, long columns) => TensorInfo.Of($"{name}.weight", format, [rows, columns]);
        TensorInfo Norm(string name) => TensorInfo.Of($"{name}.weight", FloatFormat.F32, [Width]);
    }
}
