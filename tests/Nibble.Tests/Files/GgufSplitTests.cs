using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Tests.Hostile;

namespace Nibble.Tests.Files;

public sealed class GgufSplitTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private IReadOnlyList<string> Split(long shardBytes)
    {
        using var whole = new GgufFile(_folder.Write("whole.gguf", GgufBytes.Valid()));
        return GgufSplit.Split(whole, _folder.PathOf("part"), shardBytes, cancellation: TestContext.Current.CancellationToken);
    }

    [Theory, InlineData(1, 4), InlineData(70, 3), InlineData(90, 2), InlineData(1000, 1)]
    public void What_is_split_and_merged_is_the_same_to_the_byte(long shardBytes, int shards)
    {
        IReadOnlyList<string> paths = Split(shardBytes);
        Assert.Equal(shards, paths.Count);
        Assert.Equal(_folder.PathOf($"part-00001-of-0000{shards}.gguf"), paths[0]);
        using (var split = new GgufFile(paths[0]))
        {
            Assert.Equal(paths, split.Shards);
            Assert.Equal(4, split.Tensors.Count);
            GgufSplit.Merge(split, _folder.PathOf("merged.gguf"), cancellation: TestContext.Current.CancellationToken);
        }
        Assert.Equal(GgufBytes.Valid(), File.ReadAllBytes(_folder.PathOf("merged.gguf")));
    }

    [Fact]
    public void A_shard_that_is_not_the_first_names_the_first() =>
        Assert.Contains("part-00001-of-00004.gguf", Assert.Throws<UnusableInputException>(() => new GgufFile(Split(1)[2])).Message, StringComparison.Ordinal);

    [Fact]
    public void A_missing_shard_is_named()
    {
        IReadOnlyList<string> paths = Split(1);
        File.Delete(paths[2]);
        Assert.Contains("part-00003-of-00004.gguf", Attack.Refused(paths[0]), StringComparison.Ordinal);
    }

    [Fact]
    public void A_shard_of_another_model_is_refused()
    {
        IReadOnlyList<string> paths = Split(1);
        File.Copy(paths[1], paths[2], overwrite: true);
        Attack.Refused(paths[2], () => new GgufFile(paths[0]).Dispose());
    }

    [Fact]
    public void A_renamed_shard_says_what_its_name_must_be()
    {
        File.Move(Split(1)[0], _folder.PathOf("renamed.gguf"));
        Assert.Contains("-00001-of-00004.gguf", Attack.Refused(_folder.PathOf("renamed.gguf")), StringComparison.Ordinal);
    }

    [Theory, InlineData(0u, 65535u), InlineData(7u, 3u), InlineData(0u, uint.MaxValue)]
    public void A_shard_count_that_lies_is_refused(uint number, uint count) => Attack.Refused(_folder.Write($"m-00001-of-{count:D5}.gguf",
        GgufBytes.Header(entries: 2).Key("split.count", 4).U32(count).Key("split.no", 4).U32(number).ToArray()));

    [Fact]
    public void A_tensor_count_that_lies_is_refused()
    {
        GgufBytes Shard(ushort number) => GgufBytes.Header(entries: 3)
            .Key("split.count", 2).U16(2).Key("split.no", 2).U16(number).Key("split.tensors.count", 5).U32(5);
        string first = _folder.Write("m-00001-of-00002.gguf", Shard(0).ToArray());
        _folder.Write("m-00002-of-00002.gguf", Shard(1).ToArray());
        Assert.Contains("hold 0 tensors", Attack.Refused(first), StringComparison.Ordinal);
    }
}
