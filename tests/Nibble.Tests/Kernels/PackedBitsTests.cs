using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels;

/// <summary>A token reads what packed weights take, and a device must hold it: so many bits a weight, and no more.</summary>
public sealed class PackedBitsTests
{
    [Theory]
    [InlineData("Q8_0", 8.5)]
    [InlineData("Q6_K", 6.5625)]
    [InlineData("Q5_K", 5.625)]
    [InlineData("Q4_K", 4.625)]
    [InlineData("Q4_0", 4.5)]
    [InlineData("Q3_K", 3.5625)]
    [InlineData("Q2_K", 2.625)]
    [InlineData("TQ2_0", 2.0625)]
    [InlineData("TQ1_0", 2.0625)]
    [InlineData("IQ4_NL", 4.5)]
    [InlineData("IQ4_XS", 4.3125)]
    [InlineData("IQ3_S", 4.3125)]
    [InlineData("IQ3_XXS", 4.3125)]
    [InlineData("IQ2_S", 3.5625)]
    [InlineData("IQ2_XS", 3.5625)]
    [InlineData("IQ2_XXS", 3.3125)]
    [InlineData("IQ1_M", 3.5625)]
    [InlineData("IQ1_S", 3.3125)]
    [InlineData("MXFP4", 4.25)]
    [InlineData("NVFP4", 4.5)]
    [InlineData("FP4", 4.5)]
    [InlineData("Vector8-E8", 4.5)]
    [InlineData("Linear4-sym-row", 4.0625)]
    public void Packed_weights_take(string name, double bits)
    {
        const int rows = 32, columns = 512;
        Weight weight = Weight.Allocate("w", Format.Parse(name).ForColumns(columns), rows, columns);
        using var pool = new WorkerPool(1);
        Assert.Equal(bits, 8.0 * PackedMatrix.Pack(weight, pool).Bytes / (rows * columns));
    }
}
