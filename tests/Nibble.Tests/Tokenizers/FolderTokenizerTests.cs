using System.Text.Json;
using System.Text.RegularExpressions;
using Nibble.Models.Tokenizers;
using Nibble.Models.Tokenizers.PreTokenizers;
using Peer = Microsoft.ML.Tokenizers;

namespace Nibble.Tests.Tokenizers;

public class FolderTokenizerTests
{
    [Theory, InlineData("small"), InlineData("base")]
    public void Prompts_get_the_ids_that_transformers_gives_them(string model)
    {
        Tokenizer tokenizer = Tokenizer.FromFolder(SharedData.Path($"models/{model}"));
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllText(SharedData.Path($"models/{model}/golden.json")));
        foreach (JsonElement prompt in golden.RootElement.GetProperty("prompts").EnumerateArray())
        {
            string text = prompt.GetProperty("prompt").GetString()!;
            int[] expected = [.. prompt.GetProperty("prompt_ids").EnumerateArray().Select(id => id.GetInt32())];
            Assert.Equal(expected, tokenizer.Encode(text));
            Assert.Equal(expected[1..], tokenizer.Encode(text, addSpecial: false));
            int[] greedy = [.. prompt.GetProperty("greedy_ids").EnumerateArray().Select(id => id.GetInt32())];
            Assert.Equal(prompt.GetProperty("greedy_text").GetString(), tokenizer.Decode(greedy));
        }
    }

    [Fact]
    public void The_embedded_model_says_what_its_special_tokens_are()
    {
        Tokenizer tokenizer = Tokenizer.FromFolder(SharedData.Path("models/small"));
        Assert.Equal(4096, tokenizer.VocabularySize);
        Assert.Equal(0, tokenizer.Bos);
        Assert.Equal(0, tokenizer.Eos);
        Assert.True(tokenizer.AddBos);
        Assert.False(tokenizer.AddEos);
        Assert.Equal([0], tokenizer.EndTokens);
        Assert.True(tokenizer.IsEnd(0));
        Assert.Equal([0, 0], tokenizer.Encode("<|endoftext|>"));
        Assert.DoesNotContain(0, tokenizer.Encode("<|endoftext|>", addSpecial: false, parseSpecial: false));
    }

    [Fact]
    public void A_megabyte_of_text_comes_back_unchanged()
    {
        Tokenizer tokenizer = Tokenizer.FromFolder(SharedData.Path("models/small"));
        string text = File.ReadAllText(SharedData.Path("data/calib.txt"));
        Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
    }

    [Fact]
    public void Microsofts_byte_pair_encoder_agrees_on_a_megabyte()
    {
        string folder = SharedData.Path("models/small");
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer.json")));
        JsonElement model = json.RootElement.GetProperty("model");
        var options = new Peer.BpeOptions(model.GetProperty("vocab").EnumerateObject().Select(e => KeyValuePair.Create(e.Name, e.Value.GetInt32())))
        {
            Merges = model.GetProperty("merges").EnumerateArray().Select(m => $"{m[0]} {m[1]}"),
            ByteLevel = true,
            PreTokenizer = new Peer.RegexPreTokenizer(new Regex(PatternSplit.Gpt2), null),
        };
        Peer.BpeTokenizer peer = Peer.BpeTokenizer.Create(options);
        string text = File.ReadAllText(SharedData.Path("data/calib.txt"));
        Assert.Equal(peer.EncodeToIds(text), Tokenizer.FromFolder(folder).Encode(text, addSpecial: false));
    }

    [Fact]
    public void Streaming_emits_whole_characters_only()
    {
        Tokenizer tokenizer = Tokenizer.FromFolder(SharedData.Path("models/small"));
        const string text = "naïve 你好 🎉 café 𝒳!";
        StreamingDecoder stream = tokenizer.DecodeStream();
        var parts = new List<string>();
        foreach (int id in tokenizer.Encode(text)) parts.Add(stream.Push(id));
        parts.Add(stream.Flush());
        Assert.Equal(text, string.Concat(parts));
        Assert.All(parts, part => Assert.False(part.Length > 0 && (char.IsHighSurrogate(part[^1]) || part.Contains('\uFFFD'))));
        stream = tokenizer.DecodeStream();
        int[] party = tokenizer.Encode("🎉", addSpecial: false);
        Assert.Equal("", stream.Push(party[0]));
        Assert.Equal("\uFFFD", stream.Flush());
    }
}
