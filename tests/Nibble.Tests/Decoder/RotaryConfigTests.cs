using Nibble.Models;

namespace Nibble.Tests.Decoder;

/// <summary>Scalings that no golden checkpoint covers, and the edges of those that are.</summary>
public class RotaryConfigTests
{
    [Fact]
    public void Dynamic_scaling_leaves_a_text_as_long_as_trained_alone_and_widens_the_base_after()
    {
        var rotary = new RotaryConfig { Theta = 10000, Dimensions = 16, Scaling = new DynamicScaling(2, 100) };
        RotaryConfig plain = rotary with { Scaling = null };
        Assert.Equal(Inverse(plain, 0), Inverse(rotary, 100));
        // base * (factor * length / trained - (factor - 1)) ^ (d / (d - 2)), at twice the length: 3 ^ (16 / 14).
        Assert.Equal(Inverse(plain with { Theta = 10000 * Math.Pow(3, 16.0 / 14) }, 0), Inverse(rotary, 200));
    }

    [Fact]
    public void LongRope_switches_its_divisors_after_the_original_length()
    {
        var rotary = new RotaryConfig { Theta = 100, Dimensions = 4, Scaling = new LongRopeScaling([1, 2], [4, 8], 10) { Magnitude = 1.5 } };
        Assert.Equal([1f, 0.05f], Inverse(rotary, 10));
        Assert.Equal([0.25f, 0.0125f], Inverse(rotary, 11));
        Assert.Equal(10, rotary.SwitchLength);
    }

    private static float[] Inverse(RotaryConfig rotary, int tokens)
    {
        var inverse = new float[rotary.Dimensions / 2];
        rotary.Frequencies(tokens, inverse);
        return inverse;
    }
}
