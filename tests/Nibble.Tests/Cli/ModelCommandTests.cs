using System.Text.Json;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Cli;

public class ModelCommandTests
{
    [Fact]
    public void Run_continues_as_transformers_does()
    {
        foreach ((string prompt, int[] ids, int[] greedy) in EmbeddedModel.Golden())
        {
            JsonElement run = CommandRun.Of("run", "-p", prompt, "-n", "32", "--temperature", "0", "--json").Json;
            Assert.Equal(greedy[..32], run.GetProperty("tokens").EnumerateArray().Select(t => t.GetInt32()));
            Assert.Equal(ids.Length, run.GetProperty("prompt_tokens").GetInt32());
            Assert.Equal(32, run.GetProperty("generated_tokens").GetInt32());
            Assert.True(run.GetProperty("prefill_tokens_per_second").GetDouble() > 0);
            Assert.True(run.GetProperty("decode_tokens_per_second").GetDouble() > 0);
        }
    }

    [Fact]
    public void The_same_seed_gives_the_same_text_and_another_seed_another()
    {
        string first = Text("--seed", "7"), again = Text("--seed", "7", "--threads", "1"), other = Text("--seed", "8");
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);

        static string Text(params string[] options) =>
            CommandRun.Of(["run", "-p", "Once upon a time", "-n", "24", "--json", .. options]).Json.GetProperty("text").GetString()!;
    }

    [Fact]
    public void Text_goes_to_standard_output_and_speed_to_standard_error()
    {
        CommandRun run = CommandRun.Of("run", "-p", "The old man", "-n", "8", "--temperature", "0");
        Assert.Equal(0, run.ExitCode);
        Assert.DoesNotContain("tokens", run.Output, StringComparison.Ordinal);
        Assert.Contains("a second", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_prompt_from_standard_input_has_no_end_of_line_that_echo_adds()
    {
        TextReader before = Console.In;
        try
        {
            string[] ends = ["", "\n", "\r\n"];
            string[] texts = [.. ends.Select(end =>
            {
                Console.SetIn(new StringReader("The old man" + end));
                return CommandRun.Of("run", "-p", "-", "-n", "4", "--temperature", "0", "--json").Json.GetProperty("text").GetString()!;
            })];
            Assert.Single(texts.Distinct());
        }
        finally
        {
            Console.SetIn(before);
        }
    }

    [Fact]
    public void A_stop_text_ends_the_text_before_itself()
    {
        string[] arguments = ["run", "-p", "The old man looked out over the sea and", "-n", "40", "--temperature", "0", "--json"];
        string whole = CommandRun.Of(arguments).Json.GetProperty("text").GetString()!;
        JsonElement stopped = CommandRun.Of([.. arguments, "--stop", "beautiful", "--stop", "never comes", "--stop", ""]).Json;
        Assert.Equal(whole[..whole.IndexOf("beautiful", StringComparison.Ordinal)], stopped.GetProperty("text").GetString());
        Assert.Equal("stop", stopped.GetProperty("stop_reason").GetString());
    }

    /// <summary>More tokens than any memory holds keys and values of: who asks for so many wants the text to its end.</summary>
    [Fact]
    public void A_text_without_a_foreseeable_end_takes_no_more_memory_than_there_is()
    {
        JsonElement run = CommandRun.Of("run", "-p", "The old man", "-n", "2000000000", "--temperature", "0", "--stop", "a", "--json").Json;
        Assert.Equal("stop", run.GetProperty("stop_reason").GetString());
        Assert.InRange(run.GetProperty("kv_bytes").GetInt64(), 1, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);
    }

    [Theory]
    [InlineData(254, 3, "context")]
    [InlineData(254, 3, "length")]
    [InlineData(256, 1, "context")]
    public void A_text_that_needs_more_positions_than_the_model_has_ends_there(int prompt, int generated, string reason)
    {
        using var folder = new TemporaryFolder();
        string model = GoldenCheckpoint.WithTokenizer("gpt2", folder.PathOf("gpt2"));
        string[] arguments = ["run", model, "-p", new string('a', prompt), "-n", reason == "length" ? $"{generated}" : "20", "--temperature", "0"];
        CommandRun run = CommandRun.Of([.. arguments, "--json"]);
        Assert.Equal(prompt, run.Json.GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(generated, run.Json.GetProperty("tokens").GetArrayLength());
        Assert.Equal(reason, run.Json.GetProperty("stop_reason").GetString());
        Assert.Equal(reason == "context", run.Error.Contains("positions for 256 tokens only", StringComparison.Ordinal));
        if (prompt == 256) Assert.Contains("257 tokens long", CommandRun.Of([.. arguments[..2], "-p", new string('a', 257)]).ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void A_prompt_of_no_tokens_is_refused()
    {
        using var folder = new TemporaryFolder();
        string model = GoldenCheckpoint.WithTokenizer("llama", folder.PathOf("llama"));
        Assert.EndsWith("the prompt is empty; give some text with -p", CommandRun.Of("run", model, "-p", "").ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void Chat_puts_the_prompt_into_the_models_template()
    {
        using var folder = new TemporaryFolder();
        foreach (string file in Directory.EnumerateFiles(EmbeddedModel.Folder)) File.Copy(file, folder.PathOf(Path.GetFileName(file)));
        string config = File.ReadAllText(folder.PathOf("tokenizer_config.json"));
        const string template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
        File.WriteAllText(folder.PathOf("tokenizer_config.json"), config.Insert(config.IndexOf('{') + 1, $"\"chat_template\": \"{template}\","));
        Assert.Equal(
            Tokens(EmbeddedModel.Folder, "[system] Be brief.\n[user] Who are you?\n[assistant]"),
            Tokens(folder.Path, "Who are you?", "--chat", "--system", "Be brief."));
        Assert.Contains("no chat template", CommandRun.Of("run", EmbeddedModel.Folder, "-p", "x", "--chat").ErrorLine(2), StringComparison.Ordinal);

        static string Tokens(string model, string prompt, params string[] options) =>
            CommandRun.Of(["run", model, "-p", prompt, "-n", "8", "--temperature", "0", "--json", .. options]).Json.GetProperty("tokens").ToString();
    }

    /// <summary>llama.cpp v0.5.0 (de3ff81) printed this after four chunks of the bundled text, from the same weights in bfloat16.</summary>
    [Fact]
    public void Perplexity_is_what_llama_perplexity_prints()
    {
        JsonElement eval = CommandRun.Of("eval", "--chunks", "4", "--json").Json;
        Assert.Equal(24.5044, eval.GetProperty("perplexity").GetDouble(), 0.02);
    }

    [Fact]
    public void Logits_come_for_every_position_and_are_those_of_transformers()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(EmbeddedModel.Folder, "golden.json")));
        JsonElement prompt = golden.RootElement.GetProperty("prompts")[0];
        string ids = string.Join(',', prompt.GetProperty("prompt_ids").EnumerateArray());
        JsonElement rows = CommandRun.Of("logits", "--tokens", ids, "--json").Json.GetProperty("logits");
        Assert.Equal(prompt.GetProperty("prompt_ids").GetArrayLength(), rows.GetArrayLength());
        JsonElement last = rows[rows.GetArrayLength() - 1];
        Assert.Equal(4096, last.GetArrayLength());
        foreach (JsonElement expected in prompt.GetProperty("first_logits").EnumerateArray())
            Assert.Equal(expected.GetProperty("logit").GetDouble(), last[expected.GetProperty("id").GetInt32()].GetDouble(), 2e-4);
    }

    [Fact]
    public void Inspect_accounts_for_every_tensor()
    {
        JsonElement model = CommandRun.Of("inspect", "--json").Json;
        Assert.Equal("llama", model.GetProperty("architecture").GetString());
        Assert.Equal(5_770_496, model.GetProperty("parameters").GetInt64());
        Assert.Equal(16, model.GetProperty("bits_per_weight").GetDouble());
        JsonElement tensors = model.GetProperty("tensors");
        Assert.Equal(model.GetProperty("bytes").GetInt64(), tensors.EnumerateArray().Sum(t => t.GetProperty("bytes").GetInt64()));
        JsonElement embedding = tensors.EnumerateArray().Single(t => t.GetProperty("name").GetString() == "model.embed_tokens.weight");
        Assert.Equal("BF16", embedding.GetProperty("format").GetString());
        Assert.Equal([4096, 256], embedding.GetProperty("shape").EnumerateArray().Select(n => n.GetInt32()));
    }

    [Fact]
    public void Bench_reports_every_run_and_the_memory_beside_it()
    {
        JsonElement bench = CommandRun.Of("bench", "--prompt", "16", "--generate", "4", "--repeat", "2", "--batch", "3", "--json").Json;
        Assert.Equal(2, bench.GetProperty("prefill_tokens_per_second").GetArrayLength());
        Assert.Equal(2, bench.GetProperty("decode_tokens_per_second").GetArrayLength());
        Assert.Equal(3, bench.GetProperty("batch").GetInt32());
        Assert.Equal(2, bench.GetProperty("batch_decode_tokens_per_second").GetArrayLength());
        Assert.Equal(11_540_992, bench.GetProperty("weight_bytes").GetInt64());
        Assert.True(bench.GetProperty("read_bandwidth_bytes_per_second").GetDouble() > 1e8);
        Assert.True(bench.GetProperty("int8_operations_per_second").GetDouble() > 1e8);
        Assert.Equal(JsonValueKind.Null, bench.GetProperty("arithmetic_share").ValueKind); // the embedded model is bfloat16
    }

    [Fact]
    public void Bench_has_a_share_of_the_integer_peak_only_where_integers_are_multiplied()
    {
        using var folder = new TemporaryFolder();
        string model = folder.PathOf("m.gguf");
        Assert.Equal(0, CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "Q4_0", "-o", model).ExitCode);
        Assert.True(Share().GetDouble() > 0);
        Assert.True(Share("--activations", "int8").GetDouble() > 0);
        Assert.Equal(JsonValueKind.Null, Share("--activations", "float").ValueKind);
        Assert.Equal(JsonValueKind.Null, Share("--activations", "int8-g16").ValueKind);

        JsonElement Share(params string[] options) =>
            CommandRun.Of(["bench", model, "--prompt", "16", "--generate", "2", "--repeat", "1", "--json", .. options]).Json.GetProperty("arithmetic_share");
    }

    [Fact]
    public void Perplexity_equals_the_definition_computed_plainly()
    {
        const int context = 64, chunks = 3;
        JsonElement eval = CommandRun.Of("eval", "--context", "64", "--chunks", "3", "--json").Json;
        using var pool = new WorkerPool(1);
        using ModelSource source = ModelSource.Open(EmbeddedModel.Folder);
        using var model = new DecoderModel(source, pool);
        int[] tokens = Tokenizer.FromFolder(EmbeddedModel.Folder).Encode(File.ReadAllText(EmbeddedModel.Text));
        double nll = 0;
        for (int c = 0; c < chunks; c++)
        {
            int[] chunk = [0, .. tokens[(c * context + 1)..((c + 1) * context)]];
            var logits = new float[context * 4096];
            using KvCache cache = model.NewCache(context);
            model.Forward(chunk, cache, logits, LogitPositions.All);
            for (int i = context / 2; i < context - 1; i++)
            {
                double[] row = [.. logits.AsSpan(i * 4096, 4096).ToArray().Select(x => (double)x)];
                nll += Math.Log(row.Sum(Math.Exp)) - row[chunk[i + 1]];
            }
        }
        int scored = chunks * (context - 1 - context / 2);
        Assert.Equal(scored, eval.GetProperty("tokens").GetInt32());
        Assert.Equal(chunks, eval.GetProperty("chunks").GetInt32());
        Assert.Equal(nll / scored, eval.GetProperty("mean_nll").GetDouble(), 1e-5);
        Assert.Equal(Math.Exp(nll / scored), eval.GetProperty("perplexity").GetDouble(), 1e-3);
        Assert.False(eval.TryGetProperty("kld", out JsonElement kld) && kld.ValueKind != JsonValueKind.Null);
    }

    [Fact]
    public void A_model_does_not_diverge_from_itself()
    {
        JsonElement eval = CommandRun.Of("eval", "--context", "32", "--chunks", "2", "--reference", EmbeddedModel.Folder, "--json").Json;
        Assert.Equal(0, eval.GetProperty("kld").GetProperty("max").GetDouble(), 1e-9);
        Assert.Equal(0, eval.GetProperty("kld").GetProperty("p99_9").GetDouble(), 1e-9);
        Assert.Equal(1, eval.GetProperty("top1_agreement").GetDouble());
    }

    [Theory]
    [InlineData("run nowhere.gguf -p x", "nowhere.gguf")]
    [InlineData("run -p x -n 0", "-n 0")]
    [InlineData("run -p x --temperature -1", "temperature")]
    [InlineData("run", "--prompt")]
    [InlineData("logits --tokens 1,two", "'two'")]
    [InlineData("logits --tokens 99999", "99999")]
    [InlineData("eval --text nowhere.txt", "nowhere.txt")]
    [InlineData("eval --chunks 0", "--chunks")]
    [InlineData("eval --context 1000000", "--context")]
    [InlineData("bench --repeat 0", "--repeat")]
    [InlineData("bench --batch 0", "--batch")]
    [InlineData("run -p x --kv q3_k", "q3_k")]
    [InlineData("run -p x --kv q4_0+", "q4_0+")]
    [InlineData("eval --activations int9", "int9")]
    [InlineData("bench --activations int8-tensor", "--calibration")]
    [InlineData("logits --tokens 1 --activations int8 --calibration x.txt", "--calibration")]
    [InlineData("logits --tokens 1 --activations int8-channel --calibration nowhere.txt", "nowhere.txt")]
    public void What_cannot_be_done_is_said_in_one_line(string arguments, string named) =>
        Assert.Contains(named, CommandRun.Of(arguments.Split(' ')).ErrorLine(2), StringComparison.OrdinalIgnoreCase);

    [Theory]
    [InlineData("run -p x")]
    [InlineData("eval")]
    [InlineData("bench")]
    [InlineData("logits --tokens 1")]
    [InlineData("compare --formats Q4_0")]
    [InlineData("report -o page.html --reference")]
    [InlineData("quantize -o x.gguf --evaluate")]
    [InlineData("quantize -o x.gguf --bits 5 --calibration", true)]
    public void An_encoder_is_refused_where_tokens_are_predicted(string arguments, bool takesText = false)
    {
        using var folder = new TemporaryFolder();
        string[] words = [.. arguments.Split(' ').Select(w => w.Contains('.', StringComparison.Ordinal) ? folder.PathOf(w) : w), .. takesText ? (string[])[EmbeddedModel.Text] : []];
        if (words[^1] == "--reference") words = [.. words, EmbeddedModel.Folder];
        string line = CommandRun.Of([.. words, GoldenCheckpoint.Folder("bert")]).ErrorLine(2);
        Assert.Contains("is an encoder", line, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    /// <summary>A model's file may say anything; on a terminal it may not do anything.</summary>
    [Fact]
    public void What_a_chat_template_says_cannot_move_the_cursor()
    {
        using var folder = new TemporaryFolder();
        EmbeddedModel.CopyDamaged(folder.Path, "model.norm.weight", 0x3F80);
        File.WriteAllText(folder.PathOf("tokenizer_config.json"), """{"chat_template": "{{ raise_exception('no\u001b[2J\nway') }}"}""");
        Assert.EndsWith("no\\u001b[2J way", CommandRun.Of("run", folder.Path, "--chat", "-p", "x").ErrorLine(2), StringComparison.Ordinal);
    }

    /// <summary>JSON has no infinite numbers: a perplexity that passes them all is null, as is a logit that is no number.</summary>
    [Theory]
    [InlineData(0x4780, "eval --chunks 1 --context 64", "perplexity")] // 65536
    [InlineData(0x7F7F, "logits --tokens 1", "logits")] // the largest finite bfloat16
    public void What_is_no_finite_number_is_null_in_json(int norm, string arguments, string field)
    {
        using var folder = new TemporaryFolder();
        EmbeddedModel.CopyDamaged(folder.Path, "model.norm.weight", (ushort)norm);
        string[] words = arguments.Split(' ');
        JsonElement found = CommandRun.Of([words[0], folder.Path, .. words[1..], "--json"]).Json.GetProperty(field);
        Assert.Contains(JsonValueKind.Null, found.ValueKind == JsonValueKind.Array ? found[0].EnumerateArray().Select(l => l.ValueKind) : [found.ValueKind]);
    }

    [Fact]
    public void A_cancelled_evaluation_stops_with_exit_code_1()
    {
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        Assert.Contains("stopped", CommandRun.Of(cancellation.Token, "eval").ErrorLine(1), StringComparison.Ordinal);
    }
}
