using System.Diagnostics;
using Nibble.Core;
using Nibble.Models.Tokenizers;

namespace Nibble.Tests.Tokenizers;

/// <summary>Tokenizer files that lie: each gets one line that names the file and the place.</summary>
public class HostileTokenizerTests
{
    private const string Bpe = """{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}""";

    [Fact]
    public void The_untouched_file_works() => Assert.Equal([2, 0], Load(Bpe).Encode("aba"));

    [Theory]
    [InlineData("truncated", "not valid JSON", """{"model":{"type":"BPE","vocab":{"a":0,"b":1""")]
    [InlineData("empty", "not valid JSON", "")]
    [InlineData("not an object", "must be an object", "[]")]
    [InlineData("no model", "lacks 'model'", "{}")]
    [InlineData("unknown model", "model 'Magic' is not supported", """{"model":{"type":"Magic"}}""")]
    [InlineData("unknown setting", "model.surprise is a setting", """{"model":{"type":"BPE","vocab":{},"merges":[],"surprise":1}}""")]
    [InlineData("id out of range", "has the id 2000000000", """{"model":{"type":"BPE","vocab":{"a":2000000000},"merges":[]}}""")]
    [InlineData("negative id", "has the id -1", """{"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}}""")]
    [InlineData("id no integer", "must be a whole number", """{"model":{"type":"BPE","vocab":{"a":99999999999},"merges":[]}}""")]
    [InlineData("token twice", "'a' comes twice", """{"model":{"type":"BPE","vocab":{"a":0,"a":1},"merges":[]}}""")]
    [InlineData("id twice", "share the id 0", """{"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}}""")]
    [InlineData("merge of an unknown token", "needs the token 'c'", """{"model":{"type":"BPE","vocab":{"a":0},"merges":["a c"]}}""")]
    [InlineData("merge into an unknown token", "needs the token 'aa'", """{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","a"]]}}""")]
    [InlineData("merge of three", "model.merges[0] must be two tokens", """{"model":{"type":"BPE","vocab":{"a":0},"merges":["a a a"]}}""")]
    [InlineData("merge of one", "must be two tokens", """{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}}""")]
    [InlineData("dropout", "the ids are random", """{"model":{"type":"BPE","vocab":{},"merges":[],"dropout":0.1}}""")]
    [InlineData("unknown token missing", "not in the vocabulary", """{"model":{"type":"BPE","vocab":{},"merges":[],"unk_token":"<unk>"}}""")]
    [InlineData("half a surrogate", "not Unicode text", """{"model":{"type":"BPE","vocab":{"\ud800":0},"merges":[]}}""")]
    [InlineData("unigram unk outside", "unk_id is 5", """{"model":{"type":"Unigram","vocab":[["a",-1]],"unk_id":5}}""")]
    [InlineData("unigram pair", "must be a token and its score", """{"model":{"type":"Unigram","vocab":[["a"]],"unk_id":0}}""")]
    [InlineData("word piece without unknown", "lacks 'unk_token'", """{"model":{"type":"WordPiece","vocab":{"a":0}}}""")]
    [InlineData("added id out of range", "has the id 1000000000", """{"added_tokens":[{"id":1000000000,"content":"x"}],"model":{"type":"BPE","vocab":{},"merges":[]}}""")]
    [InlineData("added id disagrees", "but the vocabulary 0", """{"added_tokens":[{"id":1,"content":"a"}],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}""")]
    [InlineData("added id twice", "repeats the id 3", """{"added_tokens":[{"id":3,"content":"x"},{"id":3,"content":"y"}],"model":{"type":"BPE","vocab":{},"merges":[]}}""")]
    public void A_broken_tokenizer_is_one_line_that_names_the_place(string attack, string message, string json)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        string actual = Assert.Throws<UnusableInputException>(() => Load(json)).Message;
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 22);      // not what the file claims
        Assert.True(actual.Contains(message, StringComparison.Ordinal), $"{attack}: {actual}");
        Assert.Contains("tokenizer.json", actual);
        Assert.DoesNotContain('\n', actual);
    }

    [Theory]
    [InlineData("[", "a '[' is not closed")]
    [InlineData("(a", "is not a regular expression")]
    [InlineData("a)", "a ')' closes nothing")]
    [InlineData("*", "'*' repeats nothing")]
    [InlineData("a\\\\", "it ends in a backslash")]
    [InlineData("\\\\p{Klingon}", "\\p{Klingon}")]
    [InlineData("[a&&b]", "an intersection of classes")]
    [InlineData("[a[b]]", "a class within a class")]
    [InlineData("\\\\h", "\\h")]
    [InlineData("(?~a)", "the group (?~a)")]
    [InlineData("a(?i)b", "the group (?i)b")]
    [InlineData("a{2}?", "{2}?")]
    [InlineData("[😀]", "a character past U+FFFF")]
    [InlineData("\\\\x{1F600}", "a character past U+FFFF")]
    public void A_pattern_that_is_broken_or_means_something_else_here_is_refused(string pattern, string message)
    {
        string json = $$$"""{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"{{{pattern}}}"},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}""";
        string actual = Assert.Throws<UnusableInputException>(() => Load(json)).Message;
        Assert.Contains(message, actual);
        Assert.Contains("pre_tokenizer.pattern.Regex", actual);
        Assert.DoesNotContain('\n', actual);
    }

    [Theory]
    [InlineData("normalizer", "Magic", "normalizer 'Magic'")]
    [InlineData("pre_tokenizer", "FixedLength", "pre-tokenizer 'FixedLength'")]
    [InlineData("post_processor", "Magic", "post-processor 'Magic'")]
    [InlineData("decoder", "CTC", "decoder 'CTC'")]
    public void A_component_we_do_not_know_is_refused_by_name(string part, string type, string message)
    {
        string actual = Assert.Throws<UnusableInputException>(() => Load("{\"" + part + "\":{\"type\":\"" + type + "\"}," + Bpe[1..])).Message;
        Assert.Contains($"{part}: the {message} is not supported", actual);
    }

    [Fact]
    public void A_pattern_cannot_hang_the_program()
    {
        Tokenizer tokenizer = Load("""{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+a+)+b[0-9]"},"behavior":"Isolated","invert":false},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}""");
        var watch = Stopwatch.StartNew();
        string actual = Assert.Throws<UnusableInputException>(() => tokenizer.Encode(new string('a', 200) + "b")).Message;
        Assert.Contains("(a+a+)+b[0-9]", actual);
        Assert.InRange(watch.Elapsed.TotalMinutes, 0, 1);            // it would take longer than the universe
    }

    [Theory]
    [InlineData("""{"bos_token":"<s>"}""", "bos_token is '<s>', which the tokenizer does not have")]
    [InlineData("""{"add_bos_token":true}""", "add_bos_token is true, but no such token is named")]
    [InlineData("""{"added_tokens_decoder":{"123456789":{"content":"x"}}}""", "no sensible id")]
    [InlineData("""{"added_tokens_decoder":{"5":{"content":"x"},"05":{"content":"y"}}}""", "repeats the id 5")]
    [InlineData("""{"chat_template":5}""", "chat_template must be a list")]
    public void A_configuration_that_disagrees_is_refused(string config, string message) =>
        Assert.Contains(message, Assert.Throws<UnusableInputException>(() => Load(Bpe, config)).Message);

    [Fact]
    public void A_megabyte_without_a_space_does_not_take_its_square()
    {
        Tokenizer tokenizer = Load(Bpe);
        var watch = Stopwatch.StartNew();
        Assert.Equal(500_000, tokenizer.Encode(string.Concat(Enumerable.Repeat("ab", 500_000))).Length);
        Assert.InRange(watch.Elapsed.TotalMinutes, 0, 1);
    }

    [Fact]
    public void Many_marks_on_one_letter_do_not_take_their_square()
    {
        Tokenizer tokenizer = Load("{\"normalizer\":{\"type\":\"NFC\"}," + Bpe[1..]);
        var watch = Stopwatch.StartNew();
        Assert.Equal([0], tokenizer.Encode("a" + string.Concat(Enumerable.Repeat("\u0327\u0335", 300_000))));
        Assert.InRange(watch.Elapsed.TotalMinutes, 0, 0.2);
    }

    [Fact]
    public void A_token_around_every_text_that_the_model_lacks_is_refused()
    {
        string folder = Directory.CreateTempSubdirectory("nibble-tokenizer-").FullName;
        try
        {
            string model = Golden.GoldenCheckpoint.WithTokenizer("llama", Path.Combine(folder, "model")), file = Path.Combine(model, "tokenizer.json");
            const string Around = "\"post_processor\": {\"type\": \"RobertaProcessing\", \"cls\": [\"a\", 1000000], \"sep\": [\"b\", 0]}";
            File.WriteAllText(file, File.ReadAllText(file).Replace("\"post_processor\": null", Around, StringComparison.Ordinal));
            using Nibble.Models.ModelSource source = Nibble.Models.ModelSource.Open(model);
            Assert.Contains("puts token 1000000 around every text", Assert.Throws<UnusableInputException>(() => Tokenizer.Of(source)).Message);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Unpaired_surrogates_and_ids_outside_are_harmless()
    {
        Tokenizer tokenizer = Load(Bpe);
        Assert.Equal([2], tokenizer.Encode("a\ud83d" + "b"));      // U+FFFD is unknown, and no token stands for the unknown
        Assert.Equal("", tokenizer.Decode([-1, 3, int.MaxValue, int.MinValue]));
        Assert.Null(tokenizer.Token(-1));
        Assert.Equal(0, tokenizer.TokenPiece(int.MaxValue).Length);
    }

    [Fact]
    public void A_folder_without_a_tokenizer_says_how_to_get_one() =>
        Assert.Contains("no tokenizer.json", Assert.Throws<UnusableInputException>(() => Tokenizer.FromFolder("/nowhere")).Message);

    [Fact]
    public void End_tokens_are_those_of_the_generation_configuration()
    {
        Tokenizer tokenizer = Load(Bpe, """{"eos_token":"a"}""", """{"eos_token_id":[1,2]}""");
        Assert.Equal([0, 1, 2], tokenizer.EndTokens);
        Assert.Equal(0, tokenizer.Eos);
        Assert.Equal([0], Load(Bpe, """{"eos_token":"a"}""", """{"eos_token_id":-1}""").EndTokens);
    }

    private static Tokenizer Load(string json, string? config = null, string? generation = null)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("nibble-tokenizer-");
        try
        {
            File.WriteAllText(Path.Combine(folder.FullName, "tokenizer.json"), json);
            if (config is not null) File.WriteAllText(Path.Combine(folder.FullName, "tokenizer_config.json"), config);
            if (generation is not null) File.WriteAllText(Path.Combine(folder.FullName, "generation_config.json"), generation);
            return Tokenizer.FromFolder(folder.FullName);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
