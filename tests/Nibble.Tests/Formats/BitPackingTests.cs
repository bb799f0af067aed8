using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

public class BitPackingTests
{
    [Fact]
    public void Three_bit_codes_lie_dense_from_the_least_bit_on()
    {
        var packed = new byte[3];
        BitPacking.Pack([0, 1, 2, 3, 4, 5, 6, 7], 3, packed);
        // 76543210 in octal, least byte first.
        Assert.Equal([0x88, 0xC6, 0xFA], packed);
    }

    [Theory, MemberData(nameof(Widths))]
    public void Packing_and_unpacking_agree_with_reading_and_writing_one_code(int width, int count)
    {
        var random = new Random(width * 1000 + count);
        byte[] codes = [.. Enumerable.Range(0, count).Select(_ => (byte)random.Next(1 << width))];
        var packed = new byte[BitPacking.Bytes(count, width)];
        Array.Fill(packed, (byte)0xFF);
        BitPacking.Pack(codes, width, packed);

        var written = new byte[packed.Length];
        for (int i = count - 1; i >= 0; i--) BitPacking.Write(written, i, width, codes[i]);
        Assert.Equal(written, packed);
        Assert.Equal(codes, Enumerable.Range(0, count).Select(i => (byte)BitPacking.Read(packed, i, width)));

        var unpacked = new byte[count];
        BitPacking.Unpack(packed, width, unpacked);
        Assert.Equal(codes, unpacked);
    }


    public static TheoryData<int, int> Widths
    {
        get
        {
            var data = new TheoryData<int, int>();
            for (int width = 1; width <= 8; width++)
                foreach (int count in new[] { 1, 7, 8, 9, 31, 32, 33, 64, 100, 256 }) data.Add(width, count);
            return data;
        }
    }
}
