using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Recipes;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Recipes;

public class BudgetTests
{
    private static StorageChoice Choice(long bytes, double divergence) => new(Format.Parse("Q4_0"), bytes, divergence);

    [Fact]
    public void Bytes_go_where_they_save_most()
    {
        StorageChoice[] tough = [Choice(10, 1), Choice(20, 0.9)], tender = [Choice(10, 1), Choice(20, 0.1)];
        StorageChoice[] chosen = Budget.Spend([tough, tender], 30);
        Assert.Equal([10, 20], chosen.Select(c => c.Bytes));
        Assert.Equal([20, 20], Budget.Spend([tough, tender], 40).Select(c => c.Bytes));
    }

    [Fact]
    public void A_choice_that_a_mix_of_others_beats_is_passed_over()
    {
        StorageChoice[] tensor = [Choice(10, 1), Choice(20, 0.95), Choice(30, 0.1), Choice(35, 0.2)];
        Assert.Equal(10, Budget.Spend([tensor], 29)[0].Bytes);
        Assert.Equal(30, Budget.Spend([tensor], 100)[0].Bytes);
    }

    [Fact]
    public void A_budget_below_the_smallest_choices_is_refused() =>
        Assert.Contains("19", Assert.Throws<UnusableInputException>(() => Budget.Spend([[Choice(10, 1)], [Choice(10, 1)]], 19)).Message, StringComparison.Ordinal);

    /// <summary>Against every assignment there is, on random convex choices: never over budget, and no more than one step worse.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4)]
    public void No_assignment_is_better_by_more_than_one_step(int seed)
    {
        var random = new Random(seed);
        StorageChoice[][] tensors = [.. Enumerable.Range(0, 5).Select(_ =>
        {
            double price = Math.Pow(10, random.NextDouble() * 2);
            long size = random.Next(50, 200);
            return Enumerable.Range(1, 4).Select(bits => Choice(size * bits, price * Math.Pow(4, -bits))).ToArray();
        })];
        long bytes = (long)(tensors.Sum(t => t[0].Bytes) * 2.2);
        StorageChoice[] chosen = Budget.Spend(tensors, bytes);
        Assert.True(chosen.Sum(c => c.Bytes) <= bytes);
        double best = double.MaxValue;
        for (int code = 0; code < 1024; code++)
        {
            StorageChoice[] all = [.. tensors.Select((t, i) => t[(code >> (2 * i)) & 3])];
            if (all.Sum(c => c.Bytes) <= bytes) best = Math.Min(best, all.Sum(c => c.Divergence));
        }
        double step = tensors.Max(t => Enumerable.Range(0, 3).Max(i => t[i].Divergence - t[i + 1].Divergence));
        Assert.InRange(chosen.Sum(c => c.Divergence), best - 1e-12, best + step);
    }

    [Fact]
    public void An_embedding_apart_from_the_head_has_a_price_and_is_put_back()
    {
        using var pool = new WorkerPool(1);
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("llama"));
        Assert.False(source.Config.TiedHead);
        using var sensitivity = new Sensitivity(source, [[.. Enumerable.Range(1, 24)]], pool);
        Assert.True(sensitivity.Measure(new HashSet<string> { "token_embd" }, Format.Parse("Q4_0")) is { Divergence: > 0, RelativeError: > 0 });
        Assert.Equal(0, sensitivity.Divergence(), 1e-12);
        Assert.Null(sensitivity.Measure(new HashSet<string> { "nothing" }, Format.Parse("Q4_0")));
    }

    [Fact]
    public void What_is_measured_does_not_depend_on_what_was_measured_before()
    {
        using var pool = new WorkerPool(1);
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("llama"));
        string[] modules = ["token_embd", "blk.0.attn_q", "blk.1.ffn_down", "output"];
        using var all = new Sensitivity(source, [[.. Enumerable.Range(1, 24)]], pool);
        foreach (string module in (string[])[.. modules, .. modules.Reverse()])
        {
            using var alone = new Sensitivity(source, [[.. Enumerable.Range(1, 24)]], pool);
            Assert.Equal(alone.Measure(new HashSet<string> { module }, Format.Parse("Q4_0")), all.Measure(new HashSet<string> { module }, Format.Parse("Q4_0")));
        }
        foreach (string module in modules) all.Round(new HashSet<string> { module }, Format.Parse("Q4_0"));
        double whole = all.Divergence();
        foreach (string module in modules)
        {
            all.PassBefore(new HashSet<string> { module });
            Assert.Equal(whole, all.Divergence());
        }
    }
}
