using System.Text.Json;
using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Models.Tokenizers;
using Nibble.Models.Tokenizers.Gguf;
using Nibble.Models.Tokenizers.HuggingFace;

namespace Nibble.Tests.Tokenizers;

public class GgufTokenizerTests
{
    private static readonly JsonElement Strings = JsonDocument.Parse(File.ReadAllBytes(GoldenTokenizerTests.File("ids"))).RootElement.GetProperty("strings");

    [Fact]
    public void The_embedded_models_tokenizer_is_gpt_2s_to_llama_cpp()
    {
        Tokenizer tokenizer = Tokenizer.FromFolder(SharedData.Path("models/small"));
        var metadata = new GgufMetadata("model.gguf");
        Assert.Empty(tokenizer.WriteTo(metadata, 4096));
        Assert.Equal("gpt2", metadata.GetString("tokenizer.ggml.model"));
        Assert.Equal("gpt-2", metadata.GetString("tokenizer.ggml.pre"));
        Assert.True(metadata.GetBool("tokenizer.ggml.add_bos_token"));
        Assert.False(metadata.GetBool("tokenizer.ggml.add_eos_token"));
        Assert.Equal(0u, metadata.GetUInt32("tokenizer.ggml.bos_token_id"));
        string[] tokens = metadata.GetArray<string>("tokenizer.ggml.tokens");
        Assert.Equal(4096, tokens.Length);
        Assert.Equal("<|endoftext|>", tokens[0]);
        Assert.Equal("Ġ t", metadata.GetArray<string>("tokenizer.ggml.merges")[0]);
        int[] types = metadata.GetArray<int>("tokenizer.ggml.token_type");
        Assert.Equal(3, types[0]);
        Assert.All(types[1..], type => Assert.Equal(1, type));

        Tokenizer again = Tokenizer.FromGguf(metadata);
        string text = File.ReadAllText(SharedData.Path("data/eval-dev.txt"));
        Assert.Equal(tokenizer.Encode(text), again.Encode(text));
        Assert.Equal(tokenizer.EndTokens, again.EndTokens);
        Assert.True(again.AddBos);
    }

    [Fact]
    public void An_embedding_with_more_rows_gets_unused_tokens()
    {
        Tokenizer tokenizer = Golden("o200k");
        var metadata = new GgufMetadata("model.gguf");
        tokenizer.WriteTo(metadata, tokenizer.VocabularySize + 2);
        Assert.Equal($"[PAD{tokenizer.VocabularySize + 1}]", metadata.GetArray<string>("tokenizer.ggml.tokens")[^1]);
        Assert.Equal(5, metadata.GetArray<int>("tokenizer.ggml.token_type")[^1]);
    }

    [Theory]
    [InlineData("llama3", "llama-bpe"), InlineData("o200k", "gpt-4o"), InlineData("deepseek", "deepseek-v3"), InlineData("starcoder", "starcoder")]
    [InlineData("bert", "default")]
    public void What_llama_cpp_can_say_survives_without_a_warning(string kind, string pre)
    {
        var metadata = new GgufMetadata("model.gguf");
        Tokenizer tokenizer = Golden(kind);
        IReadOnlyList<string> warnings = tokenizer.WriteTo(metadata, 0);
        Assert.Empty(warnings);
        Assert.Equal(pre, metadata.GetString("tokenizer.ggml.pre"));
        Assert.False(metadata.Contains(GgufTokenizerWriter.JsonKey));
        SameIds(tokenizer, Tokenizer.FromGguf(metadata));
    }

    [Theory]
    [InlineData("gpt2", "swallow spaces or stand alone"), InlineData("qwen2", "will not normalize text"), InlineData("possessive", "no name for this pre-tokenizer")]
    [InlineData("falcon", "no name for this pre-tokenizer"), InlineData("mistral", "does so only sometimes"), InlineData("gemma", "merges by a token's score"), InlineData("t5", "other ids to some text")]
    public void What_it_cannot_say_is_a_warning_and_survives_in_the_tokenizer_json(string kind, string warning)
    {
        var metadata = new GgufMetadata("model.gguf");
        Tokenizer tokenizer = Golden(kind);
        Assert.Contains(tokenizer.WriteTo(metadata, 0), w => w.Contains(warning, StringComparison.Ordinal));
        SameIds(tokenizer, Tokenizer.FromGguf(metadata));
    }

    [Theory]
    [InlineData("wordlevel"), InlineData("continuing")]
    public void Words_alone_and_marked_parts_of_words_have_no_name_in_gguf(string kind) =>
        Assert.Contains("GGUF has no name", Assert.Throws<UnusableInputException>(() => Golden(kind).WriteTo(new GgufMetadata("x"), 0)).Message);

    [Fact]
    public void SentencePieces_scores_merge_the_highest_first()
    {
        GgufMetadata metadata = Metadata("llama", ["<unk>", "<s>", "▁", "a", "b", "ab", "▁a", "<0xC3>", "<0xA9>"], [2, 3, 1, 1, 1, 1, 1, 6, 6]);
        metadata.Set("tokenizer.ggml.scores", new float[] { 0, 0, -9, -9, -9, -1, -2, 0, 0 });
        Tokenizer tokenizer = Tokenizer.FromGguf(metadata);
        Assert.Equal([1, 2, 5], tokenizer.Encode("ab"));
        Assert.Equal([1, 6, 6, 5, 7, 8], tokenizer.Encode("a aabé"));
        Assert.Equal("a aabé", tokenizer.Decode(tokenizer.Encode("a aabé")));
        metadata.Set("tokenizer.ggml.add_space_prefix", false);
        Assert.Equal([1, 5], Tokenizer.FromGguf(metadata).Encode("ab"));
    }

    [Fact]
    public void Merges_that_are_all_the_ways_to_make_each_token_become_scores()
    {
        const string json = """{"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"model":{"type":"BPE","byte_fallback":true,"vocab":{"▁":6,"c":0,"ab":1,"a":2,"abc":3,"b":4,"bc":5},"merges":["b c","a b","ab c","a bc"]}}""";
        Tokenizer tokenizer = new(TokenizerJson.Parse(json, "tokenizer.json"));
        var metadata = new GgufMetadata("model.gguf");
        Assert.Empty(tokenizer.WriteTo(metadata, 0));
        float[] scores = metadata.GetArray<float>("tokenizer.ggml.scores");
        Assert.True(scores[5] > scores[1] && scores[1] > scores[3]);
        foreach (string text in new[] { "abc", "aabcc", "cab", "bcab" })
            Assert.Equal(tokenizer.Encode(text), Tokenizer.FromGguf(metadata).Encode(text, addSpecial: false));
    }

    [Fact]
    public void A_unigram_vocabulary_and_its_character_map_survive()
    {
        // GGUF cannot say that words are cut at other spaces than the one the map leaves.
        string json = File.ReadAllText(GoldenTokenizerTests.File("t5")).Replace("""{"type":"WhitespaceSplit"},""", "", StringComparison.Ordinal);
        Tokenizer tokenizer = new(TokenizerJson.Parse(json, "tokenizer.json"));
        var metadata = new GgufMetadata("model.gguf");
        Assert.Empty(tokenizer.WriteTo(metadata, 0));
        Assert.Equal("t5", metadata.GetString("tokenizer.ggml.model"));
        SameIds(tokenizer, Tokenizer.FromGguf(metadata));
    }

    [Fact]
    public void Every_name_of_a_pre_tokenizer_comes_once_and_its_patterns_are_valid()
    {
        string[] names = [.. GgufPreTokenizer.All.SelectMany(p => p.Names)];
        Assert.Equal(names.Length, names.Distinct().Count());
        Assert.True(GgufPreTokenizer.Named("kimi-k2", "").PreTokenizer is not null);
        List<ReadOnlyMemory<char>> pieces = [];
        GgufPreTokenizer.Named("kimi-k2", "").PreTokenizer.Split("Hello你好it's 1234".AsMemory(), true, pieces);
        Assert.Equal(["Hello", "你好", "it's", " ", "123", "4"], pieces.Select(p => p.ToString()));
    }

    [Theory]
    [InlineData("tokenizer.ggml.pre", "martian", "the pre-tokenizer 'martian'")]
    [InlineData("tokenizer.ggml.model", "rwkv", "the tokenizer model 'rwkv'")]
    [InlineData("tokenizer.ggml.bos_token_id", 3u, "bos_token_id is 3, but there are only 3 tokens")]
    [InlineData("tokenizer.ggml.token_type", new[] { 1 }, "token_type has 1 entries for 3 tokens")]
    [InlineData("tokenizer.ggml.merges", new[] { "a b", "ab" }, "'ab', which is not two tokens")]
    [InlineData("tokenizer.ggml.merges", new[] { "a b", "" }, "'', which is not two tokens")]
    [InlineData("tokenizer.ggml.merges", new[] { "a c" }, "needs the token 'c'")]
    [InlineData("tokenizer.ggml.tokens", new[] { "a", "b", "a" }, "'a' comes twice")]
    [InlineData("tokenizer.huggingface.json", "{", "tokenizer.huggingface.json: not valid JSON")]
    public void A_lie_in_the_metadata_is_one_line(string key, object value, string message)
    {
        GgufMetadata metadata = Metadata("gpt2", ["a", "b", "ab"], [1, 1, 1]);
        metadata.Set("tokenizer.ggml.pre", "gpt-2");
        metadata.Set("tokenizer.ggml.merges", new[] { "a b" });
        Assert.Equal([2], Tokenizer.FromGguf(metadata).Encode("ab"));
        metadata.Set(key, value);
        string actual = Assert.Throws<UnusableInputException>(() => Tokenizer.FromGguf(metadata)).Message;
        Assert.Contains(message, actual);
        Assert.StartsWith("model.gguf", actual);
        Assert.DoesNotContain('\n', actual);
    }

    [Fact]
    public void A_file_that_names_no_pre_tokenizer_is_read_with_a_warning()
    {
        GgufMetadata metadata = Metadata("gpt2", ["a", "b", "ab"], [1, 1, 1]);
        metadata.Set("tokenizer.ggml.merges", new[] { "a b" });
        Assert.Contains("does not name its pre-tokenizer", Assert.Single(Tokenizer.FromGguf(metadata).Warnings));
    }

    [Fact]
    public void Generating_stops_where_llama_cpp_would()
    {
        GgufMetadata metadata = Metadata("gpt2", ["<|endoftext|>", "<|end|>", "<|return|>", "<|call|>", "a"], [3, 3, 3, 3, 1]);
        metadata.Set("tokenizer.ggml.pre", "gpt-4o");
        metadata.Set("tokenizer.ggml.merges", Array.Empty<string>());
        metadata.Set("tokenizer.ggml.eos_token_id", 2u);
        Assert.Equal([0, 2, 3], Tokenizer.FromGguf(metadata).EndTokens.Order());
    }

    private static GgufMetadata Metadata(string model, string[] tokens, int[] types)
    {
        var metadata = new GgufMetadata("model.gguf");
        metadata.Set("tokenizer.ggml.model", model);
        metadata.Set("tokenizer.ggml.tokens", tokens);
        metadata.Set("tokenizer.ggml.token_type", types);
        return metadata;
    }

    private static Tokenizer Golden(string kind) => new(TokenizerJson.Read(GoldenTokenizerTests.File(kind)));

    private static void SameIds(Tokenizer expected, Tokenizer actual)
    {
        foreach (JsonElement text in Strings.EnumerateArray())
        {
            Assert.Equal(expected.Encode(text.GetString()!), actual.Encode(text.GetString()!));
            int[] ids = expected.Encode(text.GetString()!, addSpecial: false);
            Assert.Equal(expected.Decode(ids), actual.Decode(ids));
        }
    }
}
