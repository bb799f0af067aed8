using Nibble.Core;
using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers.Gguf;

/// <summary>
/// What llama.cpp's names in <c>tokenizer.ggml.pre</c> stand for. The patterns are those of the tokenizer.json files
/// that the names were given for, where llama.cpp itself can only approximate them.
/// </summary>
/// <param name="Names">The first is the one to write.</param>
/// <param name="Steps">The pre-tokenizer.</param>
/// <param name="IgnoreMerges">Whether a piece that is a token becomes it at once.</param>
/// <param name="AddBos">Whether texts begin with BOS where the file does not say.</param>
internal sealed record GgufPreTokenizer(string[] Names, PreTokenizer[] Steps, bool IgnoreMerges = false, bool AddBos = false)
{
    private const string Contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private const string Rest = @" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string Llama3 = Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + Rest;
    private const string Qwen2 = Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + Rest;
    private const string Upper = @"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", Lower = @"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", Lead = @"[^\r\n\p{L}\p{N}]?";
    private const string CasedRest = @" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string Gpt4o = Lead + Upper + "*" + Lower + "+" + Contractions + "?|" + Lead + Upper + "+" + Lower + "*" + Contractions + @"?|\p{N}{1,3}|" + CasedRest;
    private const string Tekken = Lead + Upper + "*" + Lower + "+|" + Lead + Upper + "+" + Lower + @"*|\p{N}|" + CasedRest;
    private const string DeepSeekWords = @"[!""#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string NotHan = @"(?!\p{Han})";
    private const string Kimi = @"\p{Han}+|" + Lead + "(?:" + NotHan + Upper + ")*(?:" + NotHan + Lower + ")+" + Contractions + "?|"
        + Lead + "(?:" + NotHan + Upper + ")+(?:" + NotHan + Lower + ")*" + Contractions + @"?|\p{N}{1,3}|" + Rest;

    /// <summary>Every name that is known. Of those that mean the same, the first is written.</summary>
    public static IReadOnlyList<GgufPreTokenizer> All { get; } =
    [
        new(["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "mellum", "gigachat", "a.x-4.0",
            "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "roberta-bpe"], [Split(PatternSplit.Gpt2)]),
        new(["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"], [Split(Llama3)], IgnoreMerges: true, AddBos: true),
        new(["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"], [Split(Llama3)]),
        new(["qwen2", "stablelm2", "deepseek-r1-qwen", "kormo", "f2llmv2", "hunyuan", "megrez", "grok-2", "solar-open"], [Split(Qwen2)]),
        new(["qwen35"], [Split(Contractions + @"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")]),
        new(["gpt-4o", "llama4", "minimax-m2"], [Split(Gpt4o)]),
        new(["tekken"], [Split(Tekken)], IgnoreMerges: true, AddBos: true),
        new(["kimi-k2"], [Split(Kimi)]),
        new(["deepseek-v3", "hunyuan-dense", "joyai-llm"], [Split(@"\p{N}{1,3}"), Split("[一-龥぀-ゟ゠-ヿ]+"), Split(DeepSeekWords)]),
        new(["deepseek-coder"], [Split(@"[\r\n]"), Split(@"\s?\p{L}+"), Split(@"\s?\p{P}+"), Split("[一-龥ࠀ-一가-퟿]+"), Split(@"\p{N}")]),
        new(["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"],
            [new CharacterSplit(CharacterKind.Number, Delimiters.Isolated), Split(PatternSplit.Gpt2)]),
        new(["falcon"], [new CharacterSplit(CharacterKind.Punctuation, Delimiters.Contiguous), Split(PatternSplit.Gpt2), Split("[0-9][0-9][0-9]")]),
        new(["bloom", "poro-chat", "gpt3-finnish"], [Split(@" ?[^(\s|.,!?…。，、।۔،)]+")]),
        new(["viking"], [Split(@" ?[^(\s|.,!?…。，、।۔،)]+"), Split(@"\p{N}")]),
        new(["seed-coder"], [Split(Contractions + @"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+")]),
        new(["bailingmoe", "bailingmoe2", "llada-moe"],
            [Split(@"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")]),
        new(["default"], [Split(@"[\p{P}\$\+<=>\^~\|]+"), Split(PatternSplit.Gpt2), Split(@"\p{N}+"), Split("[0-9][0-9][0-9]")]),
    ];

    /// <exception cref="UnusableInputException">The name is unknown.</exception>
    public static GgufPreTokenizer Named(string name, string path) => All.FirstOrDefault(p => p.Names.Contains(name))
        ?? throw new UnusableInputException($"{path}: the pre-tokenizer '{Vocabulary.Shown(name)}' (tokenizer.ggml.pre) is not supported; known are {string.Join(", ", All.SelectMany(p => p.Names))}");

    /// <summary>The entry that cuts text the same way, or null.</summary>
    public static GgufPreTokenizer? Like(PreTokenizer? preTokenizer, bool ignoreMerges)
    {
        // The patterns here match every character, so keeping only the matches is the same as cutting at them.
        string signature = (preTokenizer?.Signature ?? "").Replace("split Removed inverted at", "split Isolated at", StringComparison.Ordinal);
        return All.FirstOrDefault(p => p.IgnoreMerges == ignoreMerges && p.PreTokenizer.Signature == signature)
            ?? All.FirstOrDefault(p => !ignoreMerges && p.PreTokenizer.Signature == signature);
    }

    public PreTokenizer PreTokenizer => Steps.Length == 1 ? Steps[0] : new PreTokenizerSequence(Steps);

    private static PatternSplit Split(string pattern) => new(pattern, Delimiters.Isolated, invert: false, "tokenizer.ggml.pre");
}
