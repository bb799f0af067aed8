using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Calibration;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Calibration;

public sealed class OriginalInputsTests
{
    /// <summary>A head of latent attention reads every token, so what it reads can be compared; an expert reads those that it is sent.</summary>
    [Fact]
    public void Inputs_are_at_hand_for_all_but_experts()
    {
        using var pool = new WorkerPool(1);
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("deepseek-v3"));
        using var original = new OriginalInputs(source, [[3, 10, 17, 24, 31]], pool);
        original.Pass(0, 0);
        int last = original.LayerCount - 1;
        original.Pass(last, 0);
        Linear[] linears = [.. original.LinearsOf(last)];
        string[] heads = [.. linears.Select(l => l.InputName).Where(name => name.Contains("_b[", StringComparison.Ordinal))];
        Assert.NotEmpty(heads);
        Assert.All(heads, name => Assert.NotNull(original.Of(name)));
        Linear[] experts = [.. linears.Where(l => l.Name.Contains("ffn_up_exps[", StringComparison.Ordinal))];
        Assert.NotEmpty(experts);
        Assert.All(experts, expert => Assert.Null(original.Of(expert.InputName)));
    }
}
