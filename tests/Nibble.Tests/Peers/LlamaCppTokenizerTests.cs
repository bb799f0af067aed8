using System.Text.Json;
using Nibble.Files.Gguf;
using Nibble.Models.Tokenizers;
using Nibble.Models.Tokenizers.HuggingFace;
using Nibble.Tests.Files;
using Nibble.Tests.Tokenizers;

namespace Nibble.Tests.Peers;

/// <summary>The tokenizers that we write into GGUF, read by llama.cpp.</summary>
public class LlamaCppTokenizerTests
{
    [Fact]
    public async Task A_tokenizer_written_without_a_warning_gives_the_same_ids_in_llama_cpp()
    {
        LlamaCpp.SkipIfMissing();
        using var folder = new TemporaryFolder();
        var tokenizers = new Dictionary<string, Tokenizer>();
        foreach (string kind in GoldenTokenizerTests.Kinds.Select(row => row.Data))
            Add(kind, new Tokenizer(TokenizerJson.Read(GoldenTokenizerTests.File(kind))));
        Add("nibble-5m", Tokenizer.FromFolder(EmbeddedModel.Folder));

        string[] texts = Texts();
        IReadOnlyList<PeerAnswer> answers = await LlamaCpp.Ask([.. tokenizers.Keys.Select(path => new PeerQuestion(path, texts, []))]);

        var wrong = new List<string>();
        foreach (PeerAnswer answer in answers) Compare(tokenizers[answer.Path], answer, texts, wrong);
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.InRange(answers.Count, 6, int.MaxValue);

        void Add(string kind, Tokenizer tokenizer)
        {
            string path = folder.PathOf($"{kind}.gguf");
            if (kind is not ("wordlevel" or "continuing") && WriteVocabulary(path, tokenizer)) tokenizers.Add(path, tokenizer);
        }
    }

    /// <summary>A file of a vocabulary alone; false if llama.cpp cannot be told all of the tokenizer.</summary>
    private static bool WriteVocabulary(string path, Tokenizer tokenizer)
    {
        var metadata = new GgufMetadata(path);
        metadata.Set("general.architecture", "llama");
        if (tokenizer.WriteTo(metadata, 0).Count > 0) return false;
        using var writer = new GgufWriter(path, metadata, []);
        writer.Commit();
        return true;
    }

    private static string[] Texts()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(GoldenTokenizerTests.File("ids")));
        return [.. golden.RootElement.GetProperty("strings").EnumerateArray().Select(text => text.GetString()!)];
    }

    private static void Compare(Tokenizer tokenizer, PeerAnswer answer, string[] texts, List<string> wrong)
    {
        string name = Path.GetFileNameWithoutExtension(answer.Path);
        if (answer.Tokenizations is null)
        {
            wrong.Add($"{name}: {answer.Error}");
            return;
        }
        for (int i = 0; i < texts.Length; i++)
        {
            int[] ours = tokenizer.Encode(texts[i], addSpecial: false, parseSpecial: false), theirs = answer.Tokenizations[i];
            if (!ours.AsSpan().SequenceEqual(theirs) && !(name is "bert" && IsOtherToBert(texts[i])))
                wrong.Add($"{name}: '{texts[i]}' is [{string.Join(' ', ours)}], to llama.cpp [{string.Join(' ', theirs)}]");
        }
    }

    /// <summary>BERT takes Hangul syllables apart and gives up on words of more than 100 characters; llama.cpp does neither.</summary>
    private static bool IsOtherToBert(string text) =>
        text.Any(c => c is >= '\uAC00' and <= '\uD7A3') || text.Split(' ').Any(word => word.Length > 100);
}
