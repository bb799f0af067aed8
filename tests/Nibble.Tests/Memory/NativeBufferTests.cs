using Nibble.Core.Memory;

namespace Nibble.Tests.Memory;

public sealed unsafe class NativeBufferTests
{
    /// <summary>On either side of what is mapped by itself, with and without a whole huge page at its end.</summary>
    [Theory]
    [InlineData(0, 64)]
    [InlineData(1, 64)]
    [InlineData((2 << 20) - 1, 64)]
    [InlineData(2 << 20, 2 << 20)]
    [InlineData((2 << 20) + 1, 2 << 20)]
    [InlineData((4 << 20) - 1, 2 << 20)]
    [InlineData((9 << 20) + 4097, 2 << 20)]
    public void Is_aligned_and_zero_and_all_of_it_is_there(int bytes, int alignment)
    {
        for (int i = 0; i < 3; i++)
        {
            using var buffer = new NativeBuffer(bytes);
            Assert.Equal(bytes, buffer.Length);
            Assert.Equal(0, (nint)buffer.Pointer % alignment);
            var span = new Span<byte>(buffer.Pointer, bytes);
            Assert.False(span.ContainsAnyExcept((byte)0));
            span.Fill(0xA5);
        }
    }
}
