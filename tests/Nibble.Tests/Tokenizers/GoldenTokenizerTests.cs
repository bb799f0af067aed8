using System.Runtime.CompilerServices;
using System.Text.Json;
using Nibble.Models.Tokenizers;
using Nibble.Models.Tokenizers.HuggingFace;

namespace Nibble.Tests.Tokenizers;

/// <summary>Every kind of tokenizer against Hugging Face's library; Golden/tokenizers/make.py says how the data was made.</summary>
public class GoldenTokenizerTests
{
    private static readonly JsonElement Golden = JsonDocument.Parse(System.IO.File.ReadAllBytes(File("ids"))).RootElement;

    public static TheoryData<string> Kinds => new(Golden.EnumerateObject().Select(p => p.Name).Where(n => n != "strings"));

    internal static string File(string name) => Path.Combine(Folder(), "..", "Golden", "tokenizers", name + ".json");

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;

    [Theory, MemberData(nameof(Kinds))]
    public void Ids_and_text_are_those_of_hugging_face(string kind)
    {
        var tokenizer = new Tokenizer(TokenizerJson.Read(File(kind)));
        var wrong = new List<string>();
        int row = 0;
        foreach (JsonElement text in Golden.GetProperty("strings").EnumerateArray())
        {
            JsonElement expected = Golden.GetProperty(kind)[row++];
            string input = text.GetString()!;
            int[] parsed = Ids(expected[0]);
            int[] plain = expected[1].ValueKind == JsonValueKind.Null ? parsed : Ids(expected[1]);
            Compare(input, parsed, tokenizer.Encode(input));
            Compare(input, plain, tokenizer.Encode(input, parseSpecial: false));
            string decoded = expected[2].GetString() ?? input;
            if (tokenizer.Decode(parsed) is var actual && actual != decoded) wrong.Add($"'{Shown(input)}' decodes to '{Shown(actual)}' rather than '{Shown(decoded)}'");
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));

        void Compare(string input, int[] ids, int[] actual)
        {
            if (!ids.AsSpan().SequenceEqual(actual))
                wrong.Add($"'{Shown(input)}' becomes\n  {Named(actual)} rather than\n  {Named(ids)}");
        }

        string Named(int[] ids) => string.Join(' ', ids.Select(id => $"{id}:{Shown(tokenizer.Token(id) ?? "?")}"));
    }

    [Theory, MemberData(nameof(Kinds))]
    public void Streaming_gives_the_text_that_decoding_gives(string kind)
    {
        var tokenizer = new Tokenizer(TokenizerJson.Read(File(kind)));
        foreach (JsonElement expected in Golden.GetProperty(kind).EnumerateArray())
        {
            int[] ids = Ids(expected[0]);
            StreamingDecoder stream = tokenizer.DecodeStream();
            Assert.Equal(tokenizer.Decode(ids), string.Concat(ids.Select(stream.Push)) + stream.Flush());
        }
    }

    private static int[] Ids(JsonElement list) => [.. list.EnumerateArray().Select(id => id.GetInt32())];

    private static string Shown(string text) => string.Concat(text.Select(c => char.IsControl(c) || char.IsSurrogate(c) ? $"\\u{(int)c:x4}" : c.ToString()));
}
