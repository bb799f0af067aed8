using System.Buffers.Binary;
using System.Security.Cryptography;
using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

/// <summary>Every point of every lattice: the golden bytes name only some of them.</summary>
public class LatticeTests
{
    /// <summary>SHA-256 of the tables in ggml-common.h, little-endian: a signed byte a coordinate.</summary>
    [Theory]
    [InlineData("IQ2_XXS", 256, 8, "05826b5d3e472a3a78f196be62ac78acf81df0f909626e12ab9fa2a5d490dd54")]
    [InlineData("IQ2_XS", 512, 8, "06e47aaca60b4dc1d9b5a3f34540437058a6b142b4d7a59d5ded769b4d1bf1de")]
    [InlineData("IQ2_S", 1024, 8, "e1aa1473412b0552c2174c30ef22ab4073f6a181b85a17056e8249bd2932fd88")]
    [InlineData("IQ3_XXS", 256, 4, "46e35f5a997efdee6c99ce57854c8a0d4f0ff8ca57e5e8a60c0793ea580acf5d")]
    [InlineData("IQ3_S", 512, 4, "bd1af4945a1717c65610b0284e4628b9a1ba3b306fae3a06f6e5f597356e349f")]
    [InlineData("IQ1_S", 2048, 8, "07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a")]
    [InlineData("IQ1_M", 2048, 8, "07540ffc1aeaf6ad4d97e96b0fcc765aae39671d4ae4a27bbd0e796fde167c6a")]
    public void Every_point_is_where_ggml_has_it(string name, int points, int dimensions, string sha256)
    {
        Format format = Format.Parse(name);
        var table = new byte[points * dimensions];
        var codes = new sbyte[format.BlockSize];
        float[] scales = new float[format.BlockSize / format.Group], offsets = new float[scales.Length];
        for (int point = 0; point < points; point++)
        {
            format.Unpack(BlockOf(name, format.BlockBytes, point), codes, scales, offsets);
            for (int i = 0; i < dimensions; i++)
                table[point * dimensions + i] = (byte)(name.StartsWith("IQ1", StringComparison.Ordinal) ? (codes[i] - 1) / 8 : codes[i]);
        }
        Assert.Equal(sha256, Convert.ToHexStringLower(SHA256.HashData(table)));
    }

    [Theory, InlineData("IQ2_XXS", 6), InlineData("IQ2_XS", 2), InlineData("IQ3_XXS", 66)]
    public void Seven_signs_and_an_even_number_of_negatives_make_eight(string name, int at)
    {
        Format format = Format.Parse(name);
        var codes = new sbyte[format.BlockSize];
        float[] scales = new float[format.BlockSize / format.Group], offsets = new float[scales.Length];
        for (int seven = 0; seven < 128; seven++)
        {
            var block = new byte[format.BlockBytes];
            BinaryPrimitives.WriteUInt16LittleEndian(block.AsSpan(at), (ushort)(name == "IQ2_XS" ? seven << 9 : seven));
            format.Unpack(block, codes, scales, offsets);
            int signs = Enumerable.Range(0, 8).Sum(i => codes[i] < 0 ? 1 << i : 0);
            Assert.Equal(seven, signs & 127);
            Assert.Equal(0, int.PopCount(signs) % 2);
        }
    }

    /// <summary>A block whose first code names a point, with no sign set and the shift up.</summary>
    private static byte[] BlockOf(string name, int bytes, int point)
    {
        var block = new byte[bytes];
        (int low, int high) = name switch
        {
            "IQ2_XXS" or "IQ2_XS" or "IQ3_XXS" => (2, 3),
            "IQ2_S" or "IQ3_S" => (2, 2 + 64),
            "IQ1_S" => (2, 2 + 32),
            _ => (0, 32), // IQ1_M
        };
        block[low] = (byte)point;
        block[high] |= (byte)(point >> 8);
        return block;
    }
}
