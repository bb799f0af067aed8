using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Quantization.Calibration;

namespace Nibble.Tests.Calibration;

public sealed class InputBoundsTests
{
    [Fact]
    public void Bounds_are_read_as_they_were_written()
    {
        var bounds = new InputBounds(InputRounding.Parse("int8-tensor"), new Dictionary<string, float> { ["blk.0.attn_q"] = 1.1f, ["output"] = 1e-7f });
        InputBounds read = InputBounds.Read(bounds.Write(), "file");
        Assert.Equal(bounds.Rounding, read.Rounding);
        Assert.Equal(bounds.Bounds, read.Bounds);
    }

    [Theory]
    [InlineData("", "''")]
    [InlineData("int8 a:1", "'int8'")]
    [InlineData("int8-tensor a", "'a'")]
    [InlineData("int8-tensor :1", "':1'")]
    [InlineData("int8-tensor a:0", "'a:0'")]
    [InlineData("int8-tensor a:NaN", "'a:NaN'")]
    [InlineData("int8-tensor a:1 a:2", "'a:2'")]
    public void Lies_are_named(string text, string word) =>
        Assert.Contains(word, Assert.Throws<UnusableInputException>(() => InputBounds.Read(text, "file")).Message, StringComparison.Ordinal);
}
